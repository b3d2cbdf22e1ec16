// SPDX-License-Identifier: Apache-2.0
//! One JSON object per span, in the fields of Beyla's printer and, after them, those of the service.
//!
//! As in Beyla's, numbers are text, times are microseconds since 1970, and kinds are spelled `SPAN_KIND_…`.

use serde::ser::{Serialize, SerializeMap, Serializer};
use vor_model::semconv::{CLIENT_ADDRESS, SERVER_ADDRESS, URL_FULL, URL_PATH};
use vor_model::{Clock, Endpoint, Key, Kind, Span, SpanId};

use super::text::GoDuration;

/// Attributes with a name of their own; all others keep theirs. `url` is the path, of clients too.
const NAMES: &[(&str, &str)] = &[
    ("http.request.method", "method"),
    ("http.response.status_code", "status"),
    ("http.request.body.size", "contentLen"),
    ("http.route", "route"),
    ("client.address", "clientAddr"),
    ("server.address", "serverAddr"),
    ("server.port", "serverPort"),
];

/// Writes `span` and ends the line.
pub(super) fn write(span: &Span, clock: &Clock, indent: bool, to: &mut Vec<u8>) {
    let object = Object { span, clock };
    // Neither writing to a Vec nor serialising text can fail.
    let _ = if indent {
        serde_json::to_writer_pretty(&mut *to, &object)
    } else {
        serde_json::to_writer(&mut *to, &object)
    };
    to.push(b'\n');
}

struct Object<'a> {
    span: &'a Span,
    clock: &'a Clock,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { span, clock } = *self;
        let (conn, side) = (&span.origin.conn, span.origin.side);
        let (peer, host) = (conn.client(side), conn.server(side));
        let micros = |nanos: u64| (nanos / 1_000).to_string();
        let (start, end) =
            (micros(clock.unix_nanos(span.time.start)), micros(clock.unix_nanos(span.time.end)));
        let took = span.time.duration();
        let took_micros = took.as_micros().to_string();
        let took = GoDuration(took).to_string();
        let service = &span.service;

        let mut map = to.serialize_map(None)?;
        let mut put = |name: &str, value: &str| map.serialize_entry(name, value);
        put("type", span.operation.headline.label)?;
        put("ignoreSpan", "")?;
        put("peer", &address(peer))?;
        put("peerPort", &port(peer))?;
        put("host", &address(host))?;
        put("hostPort", &port(host))?;
        put("traceID", &span.trace.to_string())?;
        put("spanID", &span.id.to_string())?;
        put("parentSpanID", &span.parent.unwrap_or(SpanId([0; 8])).to_string())?;
        put("flags", &span.flags.to_string())?;
        put("peerName", &name(span, &CLIENT_ADDRESS, peer))?;
        put("hostName", &name(span, &SERVER_ADDRESS, host))?;
        put("kind", kind(span.operation.kind))?;
        put("start", &start)?;
        put("handlerStart", &start)?;
        put("end", &end)?;
        put("duration", &took)?;
        put("durationUSec", &took_micros)?;
        let began = span.operation.handled.unwrap_or(span.time.start);
        let handling = span.time.end.since(began);
        put("handlerDuration", &GoDuration(handling).to_string())?;
        put("handlerDurationUSec", &handling.as_micros().to_string())?;
        map.serialize_entry("attributes", &Attributes(span))?;
        let mut put = |name: &str, value: &str| map.serialize_entry(name, value);
        put("service", &service.name)?;
        put("serviceNamespace", &service.namespace)?;
        put("serviceInstance", &service.instance)?;
        put("language", service.language.as_str())?;
        map.end()
    }
}

struct Attributes<'a>(&'a Span);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let attrs = &self.0.operation.attrs;
        let mut map = to.serialize_map(None)?;
        if attrs.get(&URL_PATH).is_some() || attrs.get(&URL_FULL).is_some() {
            map.serialize_entry("url", &*self.0.operation.headline.object)?;
        }
        for (key, value) in attrs.iter().filter(|(key, _)| **key != URL_PATH) {
            let known = NAMES.iter().find(|(name, _)| *name == key.as_str());
            let name = known.map_or(key.as_str(), |(_, short)| short);
            map.serialize_entry(name, &value.to_string())?;
        }
        map.end()
    }
}

fn address(at: &Endpoint) -> String {
    match at {
        Endpoint::Inet(at) => at.ip().to_string(),
        Endpoint::Unix(_) => at.to_string(),
    }
}

fn port(at: &Endpoint) -> String {
    at.port().unwrap_or_default().to_string()
}

fn name(span: &Span, key: &Key, at: &Endpoint) -> String {
    span.operation.attrs.get(key).map_or_else(|| address(at), ToString::to_string)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Server => "SPAN_KIND_SERVER",
        Kind::Client => "SPAN_KIND_CLIENT",
        Kind::Producer => "SPAN_KIND_PRODUCER",
        Kind::Consumer => "SPAN_KIND_CONSUMER",
        Kind::Internal => "SPAN_KIND_INTERNAL",
    }
}
