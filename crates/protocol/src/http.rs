// SPDX-License-Identifier: Apache-2.0
//! What an HTTP operation is, whatever carried it and whoever saw it: request and outcome → [`Operation`].
//!
//! Follows the OpenTelemetry semantic conventions for HTTP, and Beyla where they leave a choice: the query of a
//! URL is left out, and a server's address is the connection's, because a Host header is whatever a stranger
//! wrote and would become a metric label.

use std::borrow::Cow;
use std::sync::Arc;

use vor_model::semconv::{
    CLIENT_ADDRESS, DURATION_BUCKETS, ERROR_TYPE, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_BODY_SIZE, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT,
    SIZE_BUCKETS, URL_FULL, URL_PATH, URL_SCHEME,
};
use vor_model::{
    Attrs, Family, Group, Headline, Instrument, Key, Measure, Operation, Side, Status,
    TraceContext, Value,
};

const METHOD_ORIGINAL: Key = Key::new("http.request.method_original");
const PROTOCOL_VERSION: Key = Key::new("network.protocol.version");

/// Status of a request that was not answered in time, as Beyla reports it.
const REQUEST_TIMEOUT: u16 = 408;

const LABELS: &[Key] =
    &[HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT];

static SERVER_DURATION: Family =
    duration("http.server.request.duration", "Duration of HTTP server requests");
static SERVER_REQUEST_SIZE: Family = size(
    "http.server.request.body.size",
    "Size of HTTP server request bodies",
    HTTP_REQUEST_BODY_SIZE,
);
static SERVER_RESPONSE_SIZE: Family = size(
    "http.server.response.body.size",
    "Size of HTTP server response bodies",
    HTTP_RESPONSE_BODY_SIZE,
);
static CLIENT_DURATION: Family =
    duration("http.client.request.duration", "Duration of HTTP client requests");
static CLIENT_REQUEST_SIZE: Family = size(
    "http.client.request.body.size",
    "Size of HTTP client request bodies",
    HTTP_REQUEST_BODY_SIZE,
);
static CLIENT_RESPONSE_SIZE: Family = size(
    "http.client.response.body.size",
    "Size of HTTP client response bodies",
    HTTP_RESPONSE_BODY_SIZE,
);

/// Every family that HTTP feeds.
pub(crate) static FAMILIES: &[&Family] = &[
    &SERVER_DURATION,
    &SERVER_REQUEST_SIZE,
    &SERVER_RESPONSE_SIZE,
    &CLIENT_DURATION,
    &CLIENT_REQUEST_SIZE,
    &CLIENT_RESPONSE_SIZE,
];
static SERVER_FAMILIES: &[&Family] =
    &[&SERVER_DURATION, &SERVER_REQUEST_SIZE, &SERVER_RESPONSE_SIZE];
static CLIENT_FAMILIES: &[&Family] =
    &[&CLIENT_DURATION, &CLIENT_REQUEST_SIZE, &CLIENT_RESPONSE_SIZE];

/// Attributes that become labels when they are asked for.
const OPTIONAL: &[Key] = &[ERROR_TYPE, URL_SCHEME, URL_PATH, CLIENT_ADDRESS];

const fn duration(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        standard: true,
        group: Group::Application,
        unit: "s",
        help,
        instrument: Instrument::Histogram(DURATION_BUCKETS),
        measure: Measure::Duration,
        labels: LABELS,
        optional: OPTIONAL,
    }
}

const fn size(name: &'static str, help: &'static str, of: Key) -> Family {
    Family {
        name,
        standard: true,
        group: Group::Application,
        unit: "By",
        help,
        instrument: Instrument::Histogram(SIZE_BUCKETS),
        measure: Measure::Attribute(of),
        labels: LABELS,
        optional: OPTIONAL,
    }
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// As sent.
    pub method: Cow<'static, str>,
    /// Of what.
    pub target: Target,
    /// `1.0`, `1.1`, …; empty when it was not seen.
    pub version: &'static str,
    /// Bytes of the body, when known.
    pub body: Option<u64>,
    /// The server's pattern that it matched, such as `/items/{id}`, when known.
    pub route: Option<Arc<str>>,
    /// The trace it carries.
    pub context: Option<TraceContext>,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Named by the request; the connection knows an address too.
    pub authority: Option<Authority>,
    /// Percent-encoded as sent, without the query. Of CONNECT: the authority.
    pub path: Arc<str>,
}

impl Target {
    /// Of a request target in origin form, whose query is left out.
    #[must_use]
    pub fn new(scheme: &'static str, authority: Option<Authority>, path: &[u8]) -> Self {
        Self { scheme, authority, path: String::from_utf8_lossy(without_query(path)).into() }
    }
}

/// The part of a target in front of its query.
pub(crate) fn without_query(target: &[u8]) -> &[u8] {
    match target.split(|byte| matches!(byte, b'?' | b'#')).next() {
        None | Some(b"") => b"/",
        Some(path) => path,
    }
}

/// Host and port as a request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Name or address; IPv6 without brackets.
    pub host: Arc<str>,
    /// The port, when named.
    pub port: Option<u16>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// With this status and a body of so many bytes, when known.
    Answered(u16, Option<u64>),
    /// Without an answer in the configured time.
    TimedOut,
    /// Without an answer, because the connection closed.
    Closed,
}

/// Methods of RFC 9110 and RFC 5789, and QUERY (draft-ietf-httpbis-safe-method-w-body): those that the semantic
/// conventions call known. Names are case-sensitive.
#[must_use]
pub fn known_method(method: &[u8]) -> Option<&'static str> {
    Some(match method {
        b"GET" => "GET",
        b"POST" => "POST",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        b"HEAD" => "HEAD",
        b"OPTIONS" => "OPTIONS",
        b"PATCH" => "PATCH",
        b"CONNECT" => "CONNECT",
        b"TRACE" => "TRACE",
        b"QUERY" => "QUERY",
        _ => return None,
    })
}

impl Authority {
    /// Reads `host`, `host:port` or `[address]:port` (RFC 3986, section 3.2), without user information.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = memchr::memrchr(b'@', bytes)
            .and_then(|at| bytes.get(at..)?.split_first())
            .map_or(bytes, |(_, after)| after);
        let bracketed = bytes.strip_prefix(b"[").and_then(|inner| {
            let (host, rest) = split(inner, b']')?;
            Some((host, rest.strip_prefix(b":").unwrap_or_default()))
        });
        let (host, port) = bracketed.unwrap_or_else(|| split(bytes, b':').unwrap_or((bytes, b"")));
        let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
        (!host.is_empty()).then(|| Self { host: String::from_utf8_lossy(host).into(), port })
    }
}

/// What comes before and after the first `at`.
fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, bytes)?;
    let (before, after) = bytes.split_at_checked(place)?;
    Some((before, after.get(1..)?))
}

impl Request {
    fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }

    /// `scheme://host:port/path` without a port that the scheme implies, or the path alone when no host is named.
    fn url(&self) -> Arc<str> {
        let Target { scheme, authority, path } = &self.target;
        let path = if &**path == "*" { "" } else { path };
        let Some(Authority { host, port }) = authority else { return path.into() };
        if !path.is_empty() && !path.starts_with('/') {
            return path.into();
        }
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        match port.filter(|port| *port != default_port(scheme)) {
            Some(port) => format!("{scheme}://{open}{host}{close}:{port}{path}"),
            None => format!("{scheme}://{open}{host}{close}{path}"),
        }
        .into()
    }

    /// The operation that this request was for the process on `side`.
    #[must_use]
    pub fn operation(self, side: Side, outcome: Outcome) -> Operation {
        let code = match outcome {
            Outcome::Answered(code, _) => code,
            Outcome::TimedOut => REQUEST_TIMEOUT,
            Outcome::Closed => 0,
        };
        let known = known_method(self.method.as_bytes());
        let status = status(side, outcome);
        let attrs = self.attrs(side, outcome, code, known, &status);
        let (label, families) = match side {
            Side::Server => ("HTTP", SERVER_FAMILIES),
            Side::Client => ("HTTPClient", CLIENT_FAMILIES),
        };
        let headline = Headline {
            label,
            code: code.into(),
            verb: self.method,
            object: self.target.path,
            size: self.body.unwrap_or_default(),
        };
        Operation {
            protocol: "http",
            kind: side.into(),
            name: name(known, self.route.as_deref()),
            status,
            headline,
            families,
            context: self.context,
            handled: None,
            attrs,
        }
    }

    fn attrs(
        &self,
        side: Side,
        outcome: Outcome,
        code: u16,
        known: Option<&'static str>,
        status: &Status,
    ) -> Attrs {
        let mut attrs = Attrs::new().with(HTTP_REQUEST_METHOD, known.unwrap_or("_OTHER"));
        if known.is_none() {
            attrs.set(METHOD_ORIGINAL, self.method.clone().into_owned());
        }
        if code != 0 {
            attrs.set(HTTP_RESPONSE_STATUS_CODE, code);
        }
        match side {
            Side::Server if !self.is_connect() => {
                attrs.set(URL_PATH, Arc::clone(&self.target.path));
            }
            Side::Client if !self.is_connect() => attrs.set(URL_FULL, self.url()),
            Side::Server | Side::Client => {}
        }
        attrs.set(URL_SCHEME, self.target.scheme);
        if let Some(route) = &self.route {
            attrs.set(HTTP_ROUTE, Arc::clone(route));
        }
        if side == Side::Client
            && let Some(Authority { host, port }) = &self.target.authority
        {
            attrs.set(SERVER_ADDRESS, Arc::clone(host));
            if let Some(port) = port {
                attrs.set(SERVER_PORT, *port);
            }
        }
        if let Some(size) = self.body {
            attrs.set(HTTP_REQUEST_BODY_SIZE, size);
        }
        if let Outcome::Answered(_, Some(size)) = outcome {
            attrs.set(HTTP_RESPONSE_BODY_SIZE, size);
        }
        if !self.version.is_empty() {
            attrs.set(PROTOCOL_VERSION, self.version);
        }
        if matches!(status, Status::Error(_)) {
            attrs.set(ERROR_TYPE, error_type(outcome));
        }
        attrs
    }
}

/// Method and route, as far as both are known words.
fn name(method: Option<&'static str>, route: Option<&str>) -> Cow<'static, str> {
    let method = method.unwrap_or("HTTP");
    route.map_or(Cow::Borrowed(method), |route| format!("{method} {route}").into())
}

/// RFC 9110, section 4.2.
pub(crate) fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// A server's 4xx are its client's errors, not its own.
fn status(side: Side, outcome: Outcome) -> Status {
    match (side, outcome) {
        // The code says why.
        (Side::Server, Outcome::Answered(500.., _))
        | (Side::Client, Outcome::Answered(400.., _)) => Status::Error(Cow::Borrowed("")),
        (Side::Server | Side::Client, Outcome::Answered(_, _))
        | (Side::Server, Outcome::TimedOut) => Status::Unset,
        (Side::Client, Outcome::TimedOut) => Status::Error("no answer in time".into()),
        (Side::Server | Side::Client, Outcome::Closed) => {
            Status::Error("closed without an answer".into())
        }
    }
}

fn error_type(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Answered(code, _) => code.to_string().into(),
        Outcome::TimedOut => "timeout".into(),
        Outcome::Closed => "connection_closed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart_without_user_information() {
        for (text, host, port) in [
            ("shop", "shop", None),
            ("shop:8080", "shop", Some(8080)),
            ("ann:secret@shop:80", "shop", Some(80)),
            ("[::1]:8080", "::1", Some(8080)),
            ("[fd00::2]", "fd00::2", None),
            ("shop:99999", "shop", None),
            ("shop:", "shop", None),
        ] {
            let expected = Some(Authority { host: host.into(), port });
            assert_eq!(Authority::read(text.as_bytes()), expected, "{text}");
        }
        for none in ["", ":80", "@", "[]:80"] {
            assert_eq!(Authority::read(none.as_bytes()), None, "{none}");
        }
    }
}
