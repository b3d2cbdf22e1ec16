// SPDX-License-Identifier: Apache-2.0
//! Spans for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use vor_model::semconv::{DURATION_BUCKETS, HTTP_REQUEST_METHOD, HTTP_ROUTE, SIZE_BUCKETS};
use vor_model::{
    Attrs, ConnId, Connection, Endpoint, Family, Group, Headline, Instrument, Interval, Key, Kind,
    Language, Measure, Mono, Operation, Origin, ProcessKey, Service, Side, Span, SpanId, Status,
    TraceId, Transport,
};

pub(crate) const SIZE: Key = Key::new("size");

pub(crate) static DURATION: Family = Family {
    name: "test.duration",
    standard: true,
    group: Group::Application,
    unit: "s",
    help: "How long it took",
    measure: Measure::Duration,
    instrument: Instrument::Histogram(DURATION_BUCKETS),
    labels: &[HTTP_REQUEST_METHOD, HTTP_ROUTE],
    optional: &[],
};

pub(crate) static SIZES: Family = Family {
    name: "test.size",
    standard: true,
    group: Group::Application,
    unit: "By",
    help: "How large it was",
    measure: Measure::Attribute(SIZE),
    instrument: Instrument::Histogram(SIZE_BUCKETS),
    labels: &[HTTP_REQUEST_METHOD, HTTP_ROUTE],
    optional: &[],
};

static FAMILIES: &[&Family] = &[&DURATION, &SIZES];

pub(crate) fn service(name: &str) -> Arc<Service> {
    Arc::new(Service {
        name: name.into(),
        namespace: "shop".into(),
        instance: format!("{name}-1").into(),
        language: Language::Go,
        auto_name: false,
        attrs: Attrs::new(),
    })
}

pub(crate) fn origin(serial: u64, pid: u32, side: Side) -> Origin {
    let end = |at: &str| Endpoint::Inet(at.parse::<SocketAddr>().unwrap());
    let (client, server) = (end("10.0.0.1:40000"), end("10.0.0.2:8080"));
    let (local, remote) = match side {
        Side::Client => (client, server),
        Side::Server => (server, client),
    };
    Origin {
        process: ProcessKey { pid, started: Mono(10) },
        thread: pid,
        conn: Connection {
            id: ConnId { socket: serial, serial },
            transport: Transport::Tcp,
            tls: false,
            local,
            remote,
        },
        side,
        from_start: true,
        time: Interval { start: Mono(1_000), end: Mono(3_000) },
        place: None,
    }
}

pub(crate) fn operation(attrs: Attrs) -> Operation {
    Operation {
        protocol: "test",
        kind: Kind::Server,
        name: "GET".into(),
        status: Status::Unset,
        headline: Headline {
            label: "HTTP",
            code: 200,
            verb: "GET".into(),
            object: "/".into(),
            size: 0,
        },
        families: FAMILIES,
        context: None,
        handled: None,
        attrs,
    }
}

/// A span that lasted `seconds` with `attrs`.
pub(crate) fn span(service: &Arc<Service>, seconds: f64, attrs: Attrs) -> Span {
    let length = std::time::Duration::from_secs_f64(seconds);
    let end = Mono(1_000 + u64::try_from(length.as_nanos()).unwrap());
    Span {
        trace: TraceId([1; 16]),
        id: SpanId([2; 8]),
        parent: None,
        flags: 1,
        time: Interval { start: Mono(1_000), end },
        origin: origin(1, 1, Side::Server),
        operation: operation(attrs),
        service: Arc::clone(service),
    }
}
