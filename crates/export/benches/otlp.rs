// SPDX-License-Identifier: Apache-2.0
//! What it costs to send a span over OTLP/HTTP: processor time of the exporter's thread, encoding and socket included.
//!
//! `cargo bench -p vor-export`. The receiver is a thread of its own that throws everything away.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made has nothing to say"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use confique::Config;
use rustix::time::{ClockId, clock_gettime};
use vor_export::otlp::{Compression, Otlp, OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig};
use vor_export::prometheus::Build;
use vor_health::Board;
use vor_model::semconv::{
    CLIENT_ADDRESS, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT, URL_PATH, URL_SCHEME,
};
use vor_model::{
    Attrs, ConnId, Connection, Endpoint, Headline, Interval, Kind, Language, Mono, Operation,
    Origin, ProcessKey, Service, Side, Span, SpanId, Status, TraceId, Transport,
};
use vor_pipeline::{Exporter, Meter, MeterConfig, Outlet, Prefix, Source};

const BATCH: usize = 512;
const BATCHES: usize = 400;

fn main() {
    for compression in [Compression::None, Compression::Gzip] {
        let spans = BATCH * BATCHES;
        let nanos = send(compression) / u64::try_from(spans).expect("few");
        let mut out = std::io::stdout();
        writeln!(out, "otlp http {compression:?}: {nanos} ns per span").expect("a terminal");
    }
}

/// Sends all batches; processor time in nanoseconds.
fn send(compression: Compression) -> u64 {
    let at = receiver();
    let board = Board::new();
    let mut outlet = Outlet::new(BATCH * BATCHES, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let meter = Meter::new(MeterConfig::default(), &board);
    let mut source = Source::new(&mut outlet, &mut flows, meter, Arc::clone(&board));
    let mut shared = OtlpConfig::builder().load().expect("defaults");
    shared.compression = compression;
    let mut traces = OtlpTracesConfig::builder().load().expect("defaults");
    traces.endpoint = Some(format!("http://{at}").try_into().expect("a URL"));
    let metrics = OtlpMetricsConfig::builder().load().expect("defaults");
    let build = Build { version: "0", revision: "" };
    let otlp = Box::new(Otlp::new(shared, traces, metrics, Prefix::Beyla, build));
    let task = otlp.start(&mut source).expect("starts").expect("is on");
    let (service, mut random) = (service(), fastrand::Rng::with_seed(7));
    for _ in 0..BATCHES {
        outlet.put(&mut (0..BATCH).map(|_| span(&service, &mut random)).collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let before = spent();
    let all = u64::try_from(BATCH * BATCHES).expect("few");
    let sent = board.counter("otlp_traces", "out");
    let done = async {
        while sent.get() < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = done => {}
            () = task => {}
        }
    });
    spent() - before
}

fn spent() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("after 1970")
}

fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || swallow(listener.accept().expect("a client").0));
    at
}

/// Answers each request as soon as its body was read.
fn swallow(mut stream: TcpStream) {
    let (mut taken, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer) else { return };
        taken.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&taken[..taken.len().min(4_096)]).to_ascii_lowercase();
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let length = text[..head].split("content-length: ").nth(1).expect("a length");
        let length: usize = length.lines().next().expect("a line").parse().expect("a number");
        if taken.len() >= head + 4 + length {
            taken.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
        }
    }
}

fn service() -> Arc<Service> {
    Arc::new(Service {
        name: "cart".into(),
        namespace: "shop".into(),
        instance: "host:1".into(),
        language: Language::Go,
        auto_name: false,
        attrs: Attrs::new(),
    })
}

fn span(service: &Arc<Service>, random: &mut fastrand::Rng) -> Span {
    let end = |at: &str| Endpoint::Inet(at.parse().expect("an address"));
    let time = Interval { start: Mono(random.u64(..1 << 40)), end: Mono(1 << 41) };
    let conn = Connection {
        id: ConnId { socket: 1, serial: 1 },
        transport: Transport::Tcp,
        tls: false,
        local: end("10.0.0.2:8080"),
        remote: end("10.0.0.1:40000"),
    };
    let process = ProcessKey { pid: 1, started: Mono(0) };
    let attrs = Attrs::new()
        .with(HTTP_REQUEST_METHOD, "GET")
        .with(HTTP_RESPONSE_STATUS_CODE, 200_i64)
        .with(URL_PATH, format!("/items/{}", random.u16(..)))
        .with(URL_SCHEME, "http")
        .with(CLIENT_ADDRESS, "10.0.0.1".to_owned())
        .with(SERVER_ADDRESS, "10.0.0.2".to_owned())
        .with(SERVER_PORT, 8080_i64)
        .with(HTTP_REQUEST_BODY_SIZE, 0_i64)
        .with(HTTP_ROUTE, "/items/*".to_owned());
    Span {
        trace: TraceId(random.u128(1..).to_ne_bytes()),
        id: SpanId(random.u64(1..).to_ne_bytes()),
        parent: None,
        flags: 1,
        time,
        origin: Origin {
            process,
            thread: 1,
            conn,
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
                size: 0,
            },
            families: &[],
            context: None,
            handled: None,
            attrs,
        },
        service: Arc::clone(service),
    }
}
