// SPDX-License-Identifier: Apache-2.0
//! Where a signal goes, put together from what it sets for itself and what both signals share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use vor_config::Secret;

use super::config::{Compression, OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig, Protocol};

/// Address of a receiver: `http://host:port/path`, `https://…`, or `host:port` without a scheme.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(Uri);

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hint = "write one such as http://localhost:4318";
        let uri: Uri = text.trim().parse().map_err(|_| format!("{text:?} is no URL, {hint}"))?;
        let known = [None, Some("http"), Some("https")].contains(&uri.scheme_str());
        if !known || uri.host().is_none_or(str::is_empty) {
            return Err(format!("{text:?} has no scheme http or https, or no host, {hint}"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("user and password belong into the header authorization, \
                        not into the URL"
                .to_owned());
        }
        Ok(Self(uri))
    }
}

/// What a signal may set for itself.
struct Own<'a> {
    key: &'static str,
    path: &'static str,
    grpc_path: &'static str,
    endpoint: Option<&'a Endpoint>,
    protocol: Option<Protocol>,
    headers: Option<&'a BTreeMap<String, Secret>>,
    timeout: Option<vor_config::Duration>,
    compression: Option<Compression>,
    certificate: Option<&'a PathBuf>,
    client_certificate: Option<&'a PathBuf>,
    client_key: Option<&'a PathBuf>,
    insecure: Option<bool>,
    skip_verify: bool,
}

/// Everything there is to know about sending one signal.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) protocol: Protocol,
    /// Over HTTP the whole URL; over gRPC scheme and authority.
    pub(super) uri: Uri,
    /// Over gRPC, the method.
    pub(super) method: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) compression: Compression,
    /// `None` when it is spoken to in clear text.
    pub(super) trust: Option<Trust>,
}

/// Whom TLS believes, and what it shows.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    pub(super) certificate: Option<PathBuf>,
    /// Certificate and private key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    pub(super) skip_verify: bool,
}

/// A setting that makes no sense: its path and what is wrong with it.
pub(super) type Fault = (&'static str, String);

impl Target {
    /// Where traces go; `None` when no endpoint is set.
    pub(super) fn traces(
        shared: &OtlpConfig,
        own: &OtlpTracesConfig,
    ) -> Result<Option<Self>, Fault> {
        let own = Own {
            key: "otel_traces_export.endpoint",
            path: "/v1/traces",
            grpc_path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            endpoint: own.endpoint.as_ref(),
            protocol: own.protocol,
            headers: own.headers.as_ref(),
            timeout: own.timeout,
            compression: own.compression,
            certificate: own.certificate.as_ref(),
            client_certificate: own.client_certificate.as_ref(),
            client_key: own.client_key.as_ref(),
            insecure: own.insecure,
            skip_verify: own.insecure_skip_verify,
        };
        Self::new(shared, &own)
    }

    /// Where metrics go; `None` when no endpoint is set.
    pub(super) fn metrics(
        shared: &OtlpConfig,
        own: &OtlpMetricsConfig,
    ) -> Result<Option<Self>, Fault> {
        let own = Own {
            key: "otel_metrics_export.endpoint",
            path: "/v1/metrics",
            grpc_path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            endpoint: own.endpoint.as_ref(),
            protocol: own.protocol,
            headers: own.headers.as_ref(),
            timeout: own.timeout,
            compression: own.compression,
            certificate: own.certificate.as_ref(),
            client_certificate: own.client_certificate.as_ref(),
            client_key: own.client_key.as_ref(),
            insecure: own.insecure,
            skip_verify: own.insecure_skip_verify,
        };
        Self::new(shared, &own)
    }

    fn new(shared: &OtlpConfig, own: &Own<'_>) -> Result<Option<Self>, Fault> {
        let Some(endpoint) = own.endpoint.or(shared.endpoint.as_ref()) else { return Ok(None) };
        let protocol = own.protocol.or(shared.protocol).unwrap_or_else(|| guess(endpoint));
        let path = match (protocol, own.endpoint) {
            (Protocol::Grpc, _) => "/".to_owned(),
            (Protocol::Http, None) => endpoint.0.path().trim_end_matches('/').to_owned() + own.path,
            (Protocol::Http, Some(own_endpoint)) => match own_endpoint.0.path_and_query() {
                // Nobody listens at the root; files for Beyla leave the path out.
                None => own.path.to_owned(),
                Some(path) if path.as_str() == "/" => own.path.to_owned(),
                Some(path) => path.as_str().to_owned(),
            },
        };
        let insecure = own.insecure.unwrap_or(shared.insecure);
        let scheme = endpoint.0.scheme().cloned();
        let scheme = scheme.unwrap_or(if insecure { Scheme::HTTP } else { Scheme::HTTPS });
        let authority = endpoint.0.authority().map_or("", |authority| authority.as_str());
        let secure = scheme == Scheme::HTTPS;
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path);
        let uri = uri.build().map_err(|error| (own.key, error.to_string()))?;
        let headers = [shared.headers.as_ref(), own.headers];
        let client = (
            own.client_certificate.or(shared.client_certificate.as_ref()).cloned(),
            own.client_key.or(shared.client_key.as_ref()).cloned(),
        );
        let client = match client {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let problem = "client_certificate and client_key are only of use together";
                return Err((own.key, problem.to_owned()));
            }
        };
        Ok(Some(Self {
            protocol,
            uri,
            method: PathAndQuery::from_static(own.grpc_path),
            headers: merge(headers).map_err(|problem| (own.key, problem))?,
            timeout: own.timeout.unwrap_or(shared.timeout).get(),
            compression: own.compression.unwrap_or(shared.compression),
            trust: secure.then(|| Trust {
                certificate: own.certificate.or(shared.certificate.as_ref()).cloned(),
                client,
                skip_verify: own.skip_verify,
            }),
        }))
    }
}

/// By the end of the port, as Beyla guesses.
fn guess(endpoint: &Endpoint) -> Protocol {
    let port = endpoint.0.port().map(|port| port.as_str().to_owned()).unwrap_or_default();
    if port.ends_with("4317") { Protocol::Grpc } else { Protocol::Http }
}

/// The later ones win.
fn merge(lists: [Option<&BTreeMap<String, Secret>>; 2]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in lists.into_iter().flatten().flatten() {
        let value = percent_decode_str(value.reveal()).collect::<Vec<u8>>();
        let header = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes());
        let value = HeaderValue::from_bytes(&value);
        let (Ok(header), Ok(mut value)) = (header, value) else {
            return Err(format!("{name:?} and its value cannot be sent as a header"));
        };
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use confique::Config;

    use super::*;

    fn endpoint(text: &str) -> Option<Endpoint> {
        (!text.is_empty()).then(|| Endpoint::try_from(text.to_owned()).unwrap())
    }

    #[test]
    fn the_own_endpoint_wins_and_only_the_shared_one_gets_a_path() {
        for (shared, own, protocol, uri) in [
            ("http://c:4318", "", Protocol::Http, "http://c:4318/v1/traces"),
            ("http://c:4318/otlp/", "", Protocol::Http, "http://c:4318/otlp/v1/traces"),
            ("http://c:4317", "", Protocol::Grpc, "http://c:4317/"),
            ("http://c:14317/x", "", Protocol::Grpc, "http://c:14317/"),
            ("https://c", "", Protocol::Http, "https://c/v1/traces"),
            ("http://c:4317", "http://d:9/in?k=v", Protocol::Http, "http://d:9/in?k=v"),
            ("", "http://d:4318", Protocol::Http, "http://d:4318/v1/traces"),
            ("c:4317", "", Protocol::Grpc, "https://c:4317/"),
            ("http://[::1]:4318", "", Protocol::Http, "http://[::1]:4318/v1/traces"),
        ] {
            let mut both = OtlpConfig::builder().load().unwrap();
            let mut traces = OtlpTracesConfig::builder().load().unwrap();
            both.endpoint = endpoint(shared);
            traces.endpoint = endpoint(own);
            let target = Target::traces(&both, &traces).unwrap().unwrap();
            assert_eq!((target.protocol, target.uri.to_string().as_str()), (protocol, uri));
        }
    }

    #[test]
    fn without_an_endpoint_there_is_no_target() {
        let both = OtlpConfig::builder().load().unwrap();
        let metrics = OtlpMetricsConfig::builder().load().unwrap();
        assert!(Target::metrics(&both, &metrics).unwrap().is_none());
    }

    #[test]
    fn an_endpoint_without_a_scheme_is_insecure_only_when_that_is_asked_for() {
        let mut both = OtlpConfig::builder().load().unwrap();
        both.endpoint = endpoint("c:4317");
        let mut metrics = OtlpMetricsConfig::builder().load().unwrap();
        metrics.insecure = Some(true);
        let target = Target::metrics(&both, &metrics).unwrap().unwrap();
        assert_eq!(target.uri.scheme_str(), Some("http"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "ftp://c", "http://", "/path", "http://a b", "http://me:it@c"] {
            assert!(Endpoint::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_merged_and_decoded() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, Secret> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned().into())).collect()
        };
        let shared = map(&[("Authorization", "Basic%20abc="), ("X-Team", "all")]);
        let own = map(&[("x-team", "green")]);
        let headers = merge([Some(&shared), Some(&own)]).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], "Basic abc=");
        assert_eq!(headers["x-team"], "green");
        assert!(merge([Some(&map(&[("a b", "c")])), None]).is_err());
    }
}
