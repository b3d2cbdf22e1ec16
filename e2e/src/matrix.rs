// SPDX-License-Identifier: Apache-2.0
//! Go programs of many versions and forms: each cell is one program, or a server and a client, observed by vor.
//!
//! `cargo xtask go-matrix` builds the programs. A cell is called `go/VERSION/FORM/CASE`.

mod grpc;
mod tls;
mod wrong;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::Span;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene};
use crate::services;
use crate::until::until;

/// Calls that each client makes; the last one fails.
const CALLS: usize = 5;
/// Calls of a client that is asked for sizes.
const BODIES: usize = 3;
/// What the first call of each client says of its trace: the trace and the parent.
const SAID: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
/// From which minor version on a request of `net/http` knows its route.
const ROUTES: u32 = 22;

/// What a cell tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// `net/http`: in the clear, with TLS, and HTTP/2.
    Http(&'static str),
    /// The same, with bodies whose sizes are said or not.
    Sizes(&'static str),
    /// `golang.org/x/net/http2`: with TLS and in the clear.
    Xnet(&'static str),
    /// HTTP/1.1 in TLS by this library, in the midst of others.
    Tls(&'static str),
    /// gRPC: one message each way, many, or such of many sizes.
    Grpc(&'static str),
    /// `database/sql` with `lib/pq` against PostgreSQL.
    Sql,
    /// go-redis against Redis.
    Redis,
    /// kafka-go or sarama, by either name, against Kafka.
    Kafka(&'static str),
    /// `net/http` with tables of made-up offsets.
    Wrong,
}

const CASES: [(&str, Case); 20] = [
    ("http", Case::Http("plain")),
    ("https", Case::Http("tls1")),
    ("http2", Case::Http("tls2")),
    ("http-sizes", Case::Sizes("plain")),
    ("http2-sizes", Case::Sizes("tls2")),
    ("xnet-tls", Case::Xnet("tls")),
    ("xnet-h2c", Case::Xnet("h2c")),
    ("tls-fasthttp", Case::Tls("fasthttp")),
    ("tls-by-hand", Case::Tls("hand")),
    ("tls-opened-before", Case::Tls("early")),
    ("tls-net-http", Case::Tls("net")),
    ("grpc-unary", Case::Grpc("unary")),
    ("grpc-stream", Case::Grpc("stream")),
    ("grpc-sizes", Case::Grpc("sizes")),
    ("sql", Case::Sql),
    ("redis", Case::Redis),
    ("kafka", Case::Kafka("kafka")),
    ("sarama", Case::Kafka("sarama")),
    ("shopify", Case::Kafka("shopify")),
    ("http-wrong-offsets", Case::Wrong),
];

/// What may be lost of bytes that no call is told by: the first frames of a connection may pass before the probes
/// claim it, and threads of a connection that many calls share may meet there.
const SHARED: [&str; 5] = [
    "assemble/unclaimed",
    "socket/conn_busy",
    "go_http/conn_busy",
    "go_grpc/conn_busy",
    "go_tls/conn_busy",
];

/// A program of one version of Go, in one form.
#[derive(Debug, Clone)]
struct Cell {
    folder: PathBuf,
    minor: u32,
    suffix: &'static str,
    case: Case,
}

/// All cells whose programs are in `dir`.
pub fn cells(dir: &Path) -> Result<Vec<Scenario>> {
    let mut cells = Vec::new();
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("opening {}", dir.display()))? {
        let folder = entry?.path().canonicalize()?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let minor: u32 =
            name.strip_prefix("1.").and_then(|minor| minor.parse().ok()).context(name)?;
        folders.insert(minor, folder);
    }
    for (minor, folder) in folders {
        for (form, suffix) in [("dwarf", ""), ("stripped", "-stripped")] {
            for (name, case) in CASES {
                let cell = Cell { folder: folder.clone(), minor, suffix, case };
                // The debug information of a program tells the truth, whatever a table says.
                let untrue = cell.case != Case::Wrong || form == "stripped";
                if untrue && cell.program().is_file() {
                    let name = format!("go/1.{minor}/{form}/{name}");
                    cells.push(Scenario::new(name, move |scene| cell.run(scene)));
                }
            }
        }
    }
    Ok(cells)
}

impl Cell {
    fn program(&self) -> PathBuf {
        let name = match self.case {
            Case::Http(_) | Case::Sizes(_) | Case::Wrong => "web",
            Case::Xnet(_) => "xnet",
            Case::Tls(_) => "tls",
            Case::Grpc(_) => "grpc",
            Case::Sql => "sql",
            Case::Redis => "redis",
            Case::Kafka(library) => library,
        };
        self.folder.join(format!("{name}{}", self.suffix))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(words);
        command
    }

    fn run(&self, scene: &mut Scene<'_>) -> Result<Expected> {
        let port = ports::free()?;
        let (text, calls) = (port.to_string(), CALLS.to_string());
        match self.case {
            Case::Wrong => wrong::run(self, scene),
            Case::Kafka(library) => self.kafka(scene, library),
            Case::Http(way) | Case::Xnet(way) => {
                let server = scene.serve(self.command(&["serve", &text, way]), port)?;
                let client = scene.start(self.command(&["call", &text, way, &calls]))?;
                self.ask(scene, client, &[server])?;
                self.http(&scene.spans(3 * CALLS)?)?;
                Ok(Expected::both(CALLS, CALLS).losing(&SHARED))
            }
            Case::Sizes(way) => {
                let server = scene.serve(self.command(&["serve", &text, way]), port)?;
                let client = scene.start(self.command(&["call", &text, way, "sizes"]))?;
                self.ask(scene, client, &[server])?;
                sizes(&calls_of(scene, 2 * BODIES)?, way)?;
                Ok(Expected::both(BODIES, BODIES).losing(&SHARED))
            }
            Case::Tls(library) => tls::run(self, scene, library, port),
            Case::Grpc("sizes") => grpc::sizes(self, scene, port),
            Case::Grpc(kind) => grpc::calls(self, scene, kind, port),
            Case::Sql => {
                services::postgres(scene, port)?;
                let client = scene.start(self.command(&[&text, &calls]))?;
                self.ask(scene, client, &[])?;
                let count = 2 * CALLS + 2;
                sql(&scene.spans(count)?)?;
                Ok(Expected::client(count).losing(&["assemble/unclaimed"]))
            }
            Case::Redis => {
                services::redis(scene, port)?;
                let client = scene.start(self.command(&[&text, &calls]))?;
                self.ask(scene, client, &[])?;
                let spans = through_the_last(scene)?;
                let own = spans.iter().filter(|span| of_connection(span)).count();
                redis(&spans)?;
                let count = 2 * CALLS + 2 + own;
                Ok(Expected::client(count).losing(&["assemble/unclaimed"]))
            }
        }
    }

    /// Observes the programs of this cell and lets the client work.
    fn ask(&self, scene: &mut Scene<'_>, client: Actor, servers: &[Actor]) -> Result<()> {
        let pattern = format!("^{}$", self.program().display());
        let settings = scene.executable(&pattern)?;
        let pids: Vec<u32> = servers.iter().chain([&client]).map(|actor| actor.pid).collect();
        scene.observe(&settings, &pids)?;
        scene.probed(1)?;
        scene.go(client)
    }

    fn kafka(&self, scene: &mut Scene<'_>, library: &str) -> Result<Expected> {
        let (port, calls) = (ports::free()?, CALLS.to_string());
        let jars = self.folder.join("../../kafka");
        services::kafka(scene, &jars, port)?;
        let client = scene.start(self.command(&[&port.to_string(), "orders", &calls]))?;
        self.ask(scene, client, &[])?;
        // All messages were sent before the first is asked for, so they come by one fetch.
        let count = CALLS + 1;
        let spans = scene.spans(count)?;
        let sent = spans.iter().filter(|span| span.name == "send orders").count();
        ensure!(sent == CALLS, "{sent} of send");
        for span in &spans {
            let client = if library == "kafka" { span.attr("messaging.client.id") } else { "shop" };
            expect(span, "messaging.system", "kafka")?;
            expect(span, "messaging.destination.name", "orders")?;
            expect(span, "messaging.destination.partition.id", "0")?;
            expect(span, "messaging.client.id", client)?;
            expect(span, "server.port", &port.to_string())?;
            let given = span.attr("messaging.operation.type") == "send";
            let kind = if given { SpanKind::Producer } else { SpanKind::Consumer };
            ensure!(span.kind == kind && span.status != 2, "{span:?}");
        }
        Ok(Expected::client(count).losing(&["assemble/unclaimed"]))
    }

    fn http(&self, spans: &[Span]) -> Result<()> {
        let (servers, clients) = sides(spans);
        let version = match self.case {
            Case::Http("tls2") | Case::Xnet(_) => "2",
            _ => "1.1",
        };
        for side in [&servers, &clients] {
            ensure!(side.len() == CALLS, "{} spans of one side", side.len());
            let missing =
                side.iter().filter(|span| span.attr("http.response.status_code") == "404");
            ensure!(missing.count() == 1, "not one 404");
            for span in side {
                expect(span, "http.request.method", "GET")?;
                expect(span, "network.protocol.version", version)?;
            }
        }
        match self.case {
            // Its client's span is nearer than what its head says.
            Case::Http("plain" | "tls1") => {
                let heard = servers.iter().filter(|span| span.trace == SAID.0).count();
                ensure!(heard == 1, "{heard} in the trace that was said");
            }
            _ => said(&servers)?,
        }
        below(&servers, &clients, version == "2")?;
        let route = match self.case {
            _ if self.minor < ROUTES => "",
            Case::Xnet(_) => "/item/",
            _ => "/item/{id}",
        };
        for span in servers.iter().filter(|span| span.attr("http.response.status_code") == "200") {
            ensure!(span.attr("url.path").starts_with("/item/"), "{:?}", span.attrs);
            expect(span, "http.route", route)?;
        }
        Ok(())
    }
}

/// The sizes of bodies are told as far as head or structs say them, and no others.
fn sizes(spans: &[Span], way: &str) -> Result<()> {
    let (servers, clients) = sides(spans);
    // A stream of HTTP/2 counts what has come.
    let counted = if way == "tls2" { "7" } else { "" };
    for (side, unsaid) in [(servers, [counted, "8"]), (clients, ["", ""])] {
        for (path, [request, response]) in
            [("/echo/said", ["5", "6"]), ("/echo/unsaid", unsaid), ("/echo/head", ["0", "0"])]
        {
            let of = |span: &&&Span| {
                [span.attr("url.path"), span.attr("url.full")].iter().any(|at| at.ends_with(path))
            };
            let [span] = side.iter().filter(of).collect::<Vec<_>>()[..] else {
                bail!("not one span of {path}");
            };
            expect(span, "http.request.body.size", request)?;
            expect(span, "http.response.body.size", response)?;
        }
    }
    Ok(())
}

/// Each call of a server is below one of a client; but where `heads` are read, not the one whose head says otherwise.
fn below(servers: &[&Span], clients: &[&Span], heads: bool) -> Result<()> {
    for server in servers.iter().filter(|span| !heads || span.trace != SAID.0) {
        let is_parent =
            |client: &&&Span| client.id == server.parent && client.trace == server.trace;
        ensure!(clients.iter().filter(is_parent).count() == 1, "no client's call above {server:?}");
    }
    Ok(())
}

/// One server's call belongs where its client's head says, and no other.
fn said(servers: &[&Span]) -> Result<()> {
    let (trace, parent) = SAID;
    let heard = servers.iter().filter(|span| span.trace == trace);
    let parents: Vec<_> = heard.map(|span| span.parent.as_str()).collect();
    ensure!(parents == [parent], "in the trace that was said, parents are {parents:?}");
    Ok(())
}

/// All spans once so many of them are calls.
fn calls_of(scene: &Scene<'_>, count: usize) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    until(format!("{count} spans of calls"), scene.limit(), || {
        spans.clone_from(&scene.collector.arrived().spans);
        Ok(spans.iter().filter(|span| span.kind != SpanKind::Internal).count() >= count)
    })?;
    Ok(spans)
}

fn sides(spans: &[Span]) -> (Vec<&Span>, Vec<&Span>) {
    let calls = spans.iter().filter(|span| span.kind != SpanKind::Internal);
    calls.partition(|span| span.server)
}

fn expect(span: &Span, name: &str, value: &str) -> Result<()> {
    let found = span.attr(name);
    ensure!(found == value, "{name} is {found:?}, not {value:?}: {:?}", span.attrs);
    Ok(())
}

fn sql(spans: &[Span]) -> Result<()> {
    let of = |verb: &str| spans.iter().filter(|span| has_verb(span, verb)).count();
    ensure!(of("INSERT") == CALLS, "{} of INSERT", of("INSERT"));
    ensure!(of("SELECT") == CALLS + 1, "{} of SELECT", of("SELECT"));
    ensure!(spans.iter().filter(|span| span.status == 2).count() == 1, "not one error");
    Ok(())
}

/// All spans of Redis' client, of whose commands the last is LPUSH.
fn through_the_last(scene: &Scene<'_>) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    until("the span of LPUSH", scene.limit(), || {
        spans.clone_from(&scene.collector.arrived().spans);
        Ok(spans.iter().any(|span| has_verb(span, "LPUSH")))
    })?;
    Ok(spans)
}

fn has_verb(span: &Span, verb: &str) -> bool {
    span.attr("db.operation.name") == verb
}

/// What the client says to a server for itself; an old one refuses some of it.
fn of_connection(span: &Span) -> bool {
    has_verb(span, "CLIENT") || has_verb(span, "HELLO")
}

fn redis(spans: &[Span]) -> Result<()> {
    for (verb, count) in [("SET", CALLS), ("GET", CALLS), ("PIPELINE", 1), ("LPUSH", 1)] {
        let found = spans.iter().filter(|span| has_verb(span, verb)).count();
        ensure!(found == count, "{found} of {verb}");
    }
    for span in spans {
        expect(span, "db.system.name", "redis")?;
    }
    for span in spans.iter().filter(|span| !of_connection(span)) {
        let (failed, wrong) = (span.status == 2, has_verb(span, "LPUSH"));
        ensure!(failed == wrong, "failed is {failed}: {:?}", span.attrs);
    }
    Ok(())
}
