// SPDX-License-Identifier: Apache-2.0
//! What a gRPC call is, whoever saw it: method and status → [`Operation`], by the OpenTelemetry semantic conventions
//! for RPC.

use std::borrow::Cow;
use std::sync::Arc;

use vor_model::semconv::{DURATION_BUCKETS, SERVER_ADDRESS, SERVER_PORT};
use vor_model::{
    Attrs, Family, Group, Headline, Instrument, Key, Measure, Operation, Side, Status,
};

const SYSTEM: Key = Key::new("rpc.system");
const SERVICE: Key = Key::new("rpc.service");
const METHOD: Key = Key::new("rpc.method");
const CODE: Key = Key::new("rpc.grpc.status_code");
/// Named like the conventions' metrics of sizes: there, they have no attribute.
const REQUEST_SIZE: Key = Key::new("rpc.request.size");
const RESPONSE_SIZE: Key = Key::new("rpc.response.size");

const LABELS: &[Key] = &[SYSTEM, SERVICE, METHOD, CODE, SERVER_ADDRESS, SERVER_PORT];

static SERVER_DURATION: Family = duration("rpc.server.duration", "Duration of RPC server calls");
static CLIENT_DURATION: Family = duration("rpc.client.duration", "Duration of RPC client calls");
static SERVER_FAMILIES: &[&Family] = &[&SERVER_DURATION];
static CLIENT_FAMILIES: &[&Family] = &[&CLIENT_DURATION];

/// Every family that gRPC feeds.
pub static FAMILIES: &[&Family] = &[&SERVER_DURATION, &CLIENT_DURATION];

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
        optional: &[],
    }
}

/// The highest status code (`codes.proto`).
const LAST_CODE: u32 = 16;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    service: Arc<str>,
    method: Arc<str>,
    code: u32,
    sizes: Option<[u64; 2]>,
}

impl Call {
    /// A call of `/SERVICE/METHOD` that ended with a status code. `None`: that is no method, or no such code.
    #[must_use]
    pub fn new(path: &str, code: u32) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.rsplit_once('/')?;
        let whole = !service.is_empty() && !method.is_empty() && code <= LAST_CODE;
        whole.then(|| Self { service: service.into(), method: method.into(), code, sizes: None })
    }

    /// Bytes of all its messages, as they were sent: what the client said, and what the server answered.
    #[must_use]
    pub fn with_sizes(self, request: u64, response: u64) -> Self {
        Self { sizes: Some([request, response]), ..self }
    }

    /// The operation that it was for the process on `side`.
    #[must_use]
    pub fn operation(self, side: Side) -> Operation {
        let Self { service, method, code, sizes } = self;
        let path: Arc<str> = format!("/{service}/{method}").into();
        let (label, families) = match side {
            Side::Server => ("GRPC", SERVER_FAMILIES),
            Side::Client => ("GRPCClient", CLIENT_FAMILIES),
        };
        let mut attrs = Attrs::new()
            .with(SYSTEM, "grpc")
            .with(SERVICE, Arc::clone(&service))
            .with(METHOD, Arc::clone(&method))
            .with(CODE, i64::from(code));
        if let Some([request, response]) = sizes {
            attrs.set(REQUEST_SIZE, request);
            attrs.set(RESPONSE_SIZE, response);
        }
        Operation {
            protocol: "grpc",
            kind: side.into(),
            name: format!("{service}/{method}").into(),
            status: status(side, code),
            headline: Headline {
                label,
                code,
                verb: Cow::Borrowed(""),
                object: path,
                size: sizes.map_or(0, |[request, _]| request),
            },
            families,
            context: None,
            handled: None,
            attrs,
        }
    }
}

/// What a server answers to a wrong call is its client's error, not its own.
fn status(side: Side, code: u32) -> Status {
    match (side, code) {
        (_, 0) | (Side::Server, 1 | 3 | 5..=11 | 16) => Status::Unset,
        (Side::Server | Side::Client, _) => Status::Error(Cow::Borrowed("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_a_service_and_a_known_code() {
        let call = Call::new("/shop.Cart/Add", 5).unwrap();
        assert_eq!((&*call.service, &*call.method), ("shop.Cart", "Add"));
        let server = call.clone().operation(Side::Server);
        assert_eq!((server.status, &*server.name), (Status::Unset, "shop.Cart/Add"));
        assert!(matches!(call.clone().operation(Side::Client).status, Status::Error(_)));
        let sized = call.clone().with_sizes(5, 6).operation(Side::Client).attrs;
        let of = |key| sized.get(&key).cloned();
        assert_eq!(
            [of(REQUEST_SIZE), of(RESPONSE_SIZE)],
            [5, 6].map(|size: i64| Some(size.into()))
        );
        for (path, code) in [("shop.Cart/Add", 0), ("/Add", 0), ("//", 0), ("/a/b", 17), ("", 0)] {
            assert_eq!(Call::new(path, code), None, "{path}");
        }
    }
}
