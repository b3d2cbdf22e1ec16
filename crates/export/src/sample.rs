// SPDX-License-Identifier: Apache-2.0
//! Spans and goldens for tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use vor_model::semconv::{
    CLIENT_ADDRESS, DURATION_BUCKETS, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT, SIZE_BUCKETS, URL_FULL,
    URL_PATH,
};
use vor_model::{
    Attrs, Clock, ConnId, Connection, EndFacts, Endpoint, Family, Flow, FlowEnd, FlowKey, Group,
    Headline, Initiator, Instrument, Interval, Key, Kind, Language, Measure, Mono, Operation,
    Origin, Passage, Place, ProcessKey, Service, Side, Span, SpanId, Status, TcpStats, TraceId,
    Transport, Workload,
};

const LABELS: &[Key] =
    &[HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT];

static DURATION: Family = Family {
    name: "http.server.request.duration",
    standard: true,
    group: Group::Application,
    unit: "s",
    help: "Duration of HTTP server requests",
    measure: Measure::Duration,
    instrument: Instrument::Histogram(DURATION_BUCKETS),
    labels: LABELS,
    optional: &[],
};

static SIZE: Family = Family {
    name: "http.server.request.body.size",
    standard: true,
    group: Group::Application,
    unit: "By",
    help: "Size of HTTP server request bodies",
    measure: Measure::Attribute(HTTP_REQUEST_BODY_SIZE),
    instrument: Instrument::Histogram(SIZE_BUCKETS),
    labels: LABELS,
    optional: &[],
};

static FAMILIES: &[&Family] = &[&DURATION, &SIZE];

/// A clock by which kernel time 0 is 2025-06-01 10:00:00 UTC.
pub(crate) fn clock() -> Clock {
    Clock::new(Mono(0), SystemTime::UNIX_EPOCH + Duration::from_secs(1_748_772_000))
}

pub(crate) fn service() -> Arc<Service> {
    Arc::new(Service {
        name: "cart".into(),
        namespace: "shop".into(),
        instance: "host-a:4711".into(),
        language: Language::Python,
        auto_name: false,
        attrs: Attrs::new()
            .with(Key::new("host.id"), "abc")
            .with(Key::new("host.name"), "host-a")
            .with(Key::new("team.name"), "green \"and\" blue\\"),
    })
}

/// A request that process `cart` answered in `took`, sending `size` bytes.
pub(crate) fn answered(took: Duration, size: i64) -> Span {
    let start = Mono(1_000_234_567);
    let end = Mono(start.0 + u64::try_from(took.as_nanos()).unwrap());
    let end_at = |at: &str| Endpoint::Inet(at.parse::<SocketAddr>().unwrap());
    let time = Interval { start, end };
    Span {
        trace: TraceId([0xab; 16]),
        id: SpanId([0xcd; 8]),
        parent: None,
        flags: 1,
        time,
        origin: Origin {
            process: ProcessKey { pid: 4711, started: Mono(0) },
            thread: 4711,
            conn: Connection {
                id: ConnId { socket: 1, serial: 1 },
                transport: Transport::Tcp,
                tls: false,
                local: end_at("10.0.0.2:8080"),
                remote: end_at("10.0.0.1:40000"),
            },
            side: Side::Server,
            from_start: true,
            time,
            place: None,
        },
        operation: Operation {
            protocol: "http",
            kind: Kind::Server,
            name: "GET /items/*".into(),
            status: Status::Unset,
            headline: Headline {
                label: "HTTP",
                code: 200,
                verb: "GET".into(),
                object: "/items/7".into(),
                size: size.unsigned_abs(),
            },
            families: FAMILIES,
            context: None,
            handled: None,
            attrs: Attrs::new()
                .with(HTTP_REQUEST_METHOD, "GET")
                .with(HTTP_RESPONSE_STATUS_CODE, 200_i64)
                .with(URL_PATH, "/items/7")
                .with(CLIENT_ADDRESS, "10.0.0.1")
                .with(SERVER_ADDRESS, "10.0.0.2")
                .with(SERVER_PORT, 8080_i64)
                .with(HTTP_REQUEST_BODY_SIZE, size)
                .with(HTTP_ROUTE, "/items/*"),
        },
        service: service(),
    }
}

/// A call of process `cart` to a named server, which failed, in a trace that began elsewhere.
pub(crate) fn failed_call() -> Span {
    let mut span = answered(Duration::from_micros(432), 0);
    let end_at = |at: &str| Endpoint::Inet(at.parse::<SocketAddr>().unwrap());
    span.parent = Some(SpanId([0xef; 8]));
    span.flags = 0;
    span.origin.side = Side::Client;
    span.origin.conn.local = end_at("[fd00::1]:50000");
    span.origin.conn.remote = end_at("[fd00::2]:443");
    let operation = &mut span.operation;
    operation.kind = Kind::Client;
    operation.status = Status::Error("503".into());
    operation.headline.label = "HTTPClient";
    operation.headline.code = 503;
    operation.headline.object = "/pay\n\x1b[2J?now=1".into();
    operation.attrs.remove(&CLIENT_ADDRESS);
    operation.attrs.remove(&URL_PATH);
    operation.attrs.set(URL_FULL, "https://pay.example/pay");
    operation.attrs.set(SERVER_ADDRESS, "pay.example");
    operation.attrs.set(SERVER_PORT, 443_i64);
    operation.attrs.set(HTTP_RESPONSE_STATUS_CODE, 503_i64);
    span
}

/// Compares `actual` with the file `name` in this crate's `src`; `VOR_BLESS=1` writes it instead.
pub(crate) fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
    if std::env::var_os("VOR_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name} differs; VOR_BLESS=1 rewrites it");
}

/// A request from a pod in one zone to one in another, and a flow of which nothing is known.
pub(crate) fn flows_of_pods() -> [Flow; 2] {
    let end = |at: &str| {
        let at: SocketAddr = at.parse().unwrap();
        FlowEnd { ip: at.ip(), port: at.port() }
    };
    let flow = |src: &str, dst: &str, protocol| Flow {
        key: FlowKey {
            netns: 1,
            iface: 2,
            passage: Passage::Ingress,
            protocol,
            src: end(src),
            dst: end(dst),
        },
        vlan: None,
        bytes: 1500,
        packets: 3,
        time: Interval { start: Mono(1_000_000_000), end: Mono(2_000_000_000) },
        tcp_flags: 0x02,
        tcp: TcpStats::default(),
        initiator: None,
        src_process: None,
        dst_process: None,
        agent: None,
        iface_name: None,
        src_facts: EndFacts::default(),
        dst_facts: EndFacts::default(),
    };
    let mut known = flow("10.0.0.1:40000", "10.0.0.2:8080", 6);
    known.initiator = Some(Initiator::Src);
    known.iface_name = Some("veth 1\n".into());
    known.agent = Some("192.0.2.1".into());
    known.tcp.retransmits = 2;
    known.src_facts.workload = Some(pod("web", "zone-a"));
    known.dst_facts.workload = Some(pod("cart", "zone-b"));
    known.dst_facts.service = Some(service());
    known.dst_facts.cidr = Some("10.0.0.0/8".into());
    let mut bare = flow("[fd00::1]:0", "[fd00::2]:0", 58);
    bare.dst_facts.host = Some("two.example.test".into());
    [known, bare]
}

fn pod(name: &str, zone: &str) -> Arc<Workload> {
    Arc::new(Workload {
        name: name.into(),
        namespace: "shop".into(),
        named_by: "deployment",
        place: Some(Place {
            kind: "Pod",
            name: format!("{name}-abc").into(),
            namespace: "shop".into(),
            owner_kind: "Deployment".into(),
            owner_name: name.into(),
            node_name: "node-1".into(),
            node_ip: Some("192.0.2.9".parse().unwrap()),
            zone: zone.into(),
            cluster: "prod".into(),
        }),
        ..Workload::default()
    })
}
