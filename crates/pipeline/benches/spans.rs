// SPDX-License-Identifier: Apache-2.0
//! Spans per second of one core through assemble, and through assemble, meter and outlet together.
//!
//! `cargo bench -p vor-pipeline`. The protocol is as cheap as one can be that fills the attributes of an HTTP server
//! span, so the figures are those of the pipeline alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use confique::Config;
use vor_health::Board;
use vor_model::semconv::{
    DURATION_BUCKETS, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT, SIZE_BUCKETS, URL_PATH, URL_SCHEME,
};
use vor_model::{
    Attrs, Captured, ConnId, Connection, Done, Ending, Endpoint, Exchange, Family, Group, Headline,
    Instrument, Interval, Key, Kind, Language, Measure, Message, Mono, Operation, Origin,
    ProcessKey, Service, Side, Span, Status, Transport,
};
use vor_pipeline::{Assemble, Chain, Meter, MeterConfig, Outlet, Services, SpansConfig};
use vor_protocol::{Claim, Conversation, Info, Next, Opening, Protocol, Unreadable};

const BATCH: u32 = 512;
const CONNECTIONS: u32 = 64;
const ROUTES: u32 = 50;
const BATCHES: u32 = 2_000;

const LABELS: &[Key] =
    &[HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT];

static DURATION: Family = Family {
    name: "bench.duration",
    standard: true,
    group: Group::Application,
    unit: "s",
    help: "",
    measure: Measure::Duration,
    instrument: Instrument::Histogram(DURATION_BUCKETS),
    labels: LABELS,
    optional: &[],
};

static SIZE: Family = Family {
    name: "bench.size",
    standard: true,
    group: Group::Application,
    unit: "By",
    help: "",
    measure: Measure::Attribute(HTTP_REQUEST_BODY_SIZE),
    instrument: Instrument::Histogram(SIZE_BUCKETS),
    labels: LABELS,
    optional: &[],
};

static FAMILIES: &[&Family] = &[&DURATION, &SIZE];
static INFO: Info = Info { name: "bench", ports: &[], families: FAMILIES };

struct Cheap;

impl Protocol for Cheap {
    fn info(&self) -> &'static Info {
        &INFO
    }
    fn claim(&self, _first: &Exchange) -> Claim {
        Claim::Sure
    }
    fn open(&self, _about: &Opening<'_>) -> Box<dyn Conversation> {
        Box::new(Self)
    }
}

impl Conversation for Cheap {
    fn read(
        &mut self,
        exchange: &Exchange,
        time: Interval,
        out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable> {
        let path: Arc<str> = std::str::from_utf8(&exchange.request).unwrap_or_default().into();
        let attrs = Attrs::new()
            .with(HTTP_REQUEST_METHOD, "GET")
            .with(HTTP_RESPONSE_STATUS_CODE, 200_i64)
            .with(URL_PATH, Arc::clone(&path))
            .with(URL_SCHEME, "http")
            .with(HTTP_ROUTE, Arc::clone(&path))
            .with(HTTP_REQUEST_BODY_SIZE, 17_i64);
        let headline =
            Headline { label: "HTTP", code: 200, verb: "GET".into(), object: path, size: 17 };
        let operation = Operation {
            protocol: "bench",
            kind: Kind::Server,
            name: "GET".into(),
            status: Status::Unset,
            headline,
            families: FAMILIES,
            context: None,
            handled: None,
            attrs,
        };
        out.push(Done { time, operation });
        Ok(Next::Same)
    }
    fn hear(&mut self, _: &Message, _: Interval, _: &mut Vec<Done>) -> Result<Next, Unreadable> {
        Ok(Next::Same)
    }
    fn close(&mut self, _out: &mut Vec<Done>) {}
}

fn batch(round: u32) -> Vec<Captured> {
    let end = |port| Endpoint::Inet(SocketAddr::from(([10, 0, 0, 1], port)));
    let captured = |number: u32| {
        let serial = u64::from(number % CONNECTIONS);
        let start = u64::from(round) * 1_000_000 + u64::from(number) * 977;
        let time = Interval { start: Mono(start), end: Mono(start + 100_000 + start % 9_999_999) };
        let origin = Origin {
            process: ProcessKey { pid: 1, started: Mono(0) },
            thread: 1,
            conn: Connection {
                id: ConnId { socket: serial, serial },
                transport: Transport::Tcp,
                tls: false,
                local: end(8080),
                remote: end(40_000),
            },
            side: Side::Server,
            from_start: true,
            time,
            place: None,
        };
        let exchange = Exchange {
            request: Bytes::from(format!("/route/{}", number % ROUTES)),
            request_len: 100,
            response: Bytes::from_static(b"OK"),
            response_len: 2,
            request_end: time.start,
            response_start: time.end,
            ending: Ending::Answered,
        };
        Captured::Exchange(origin, exchange)
    };
    (0..BATCH).map(captured).collect()
}

fn assemble(board: &Arc<Board>) -> Result<Assemble, confique::Error> {
    let config = SpansConfig::builder().load()?;
    let services = Services::new(config.name_kept.get());
    let service = Service {
        name: "cart".into(),
        namespace: "shop".into(),
        instance: "host:1".into(),
        language: Language::Go,
        auto_name: true,
        attrs: Attrs::new(),
    };
    services.insert(ProcessKey { pid: 1, started: Mono(0) }, Arc::new(service));
    Ok(Assemble::new(
        &config,
        vor_model::Sampling::DEFAULT,
        &[&Cheap],
        services,
        Box::new(|_, _| {}),
        board,
    ))
}

/// Spans per second of `work` over all batches; making the batches does not count.
fn measure(what: &str, mut work: impl FnMut(Vec<Captured>)) {
    let mut spent = std::time::Duration::ZERO;
    for round in 0..BATCHES {
        let batch = batch(round);
        let start = Instant::now();
        work(batch);
        spent += start.elapsed();
    }
    let rate = f64::from(BATCHES * BATCH) / spent.as_secs_f64();
    eprintln!("{what}: {rate:.0} spans/s, {:.0} ns each", 1e9 / rate);
}

fn main() -> Result<(), confique::Error> {
    let board = Board::new();
    let mut alone = assemble(&board)?;
    let mut spans: Vec<Span> = Vec::new();
    measure("assemble", |batch| {
        alone.take(batch, Mono(1), &mut spans);
        spans.clear();
    });

    let meter = Meter::new(MeterConfig::default(), &board);
    let mut chain = Chain::new("chain", Arc::clone(&board)).stage(meter.tap());
    let mut outlet = Outlet::new(32_768, Arc::clone(&board));
    let mut inbox = outlet.open("bench");
    let mut whole = assemble(&board)?;
    measure("assemble, meter and outlet", |batch| {
        whole.take(batch, Mono(1), &mut spans);
        chain.run(&mut spans);
        outlet.put(&mut spans);
        drop(inbox.try_recv());
    });
    Ok(())
}
