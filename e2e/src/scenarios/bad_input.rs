// SPDX-License-Identifier: Apache-2.0
//! Input that nobody wishes for, and surroundings that do not answer.

use std::net::TcpListener;
use std::process::Command;
use std::thread;

use anyhow::{Result, ensure};

use super::{epoll, observed_epoll};
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::vor::Settings;
use crate::web::{self, Talk};

const MIB: usize = 1 << 20;
const MEMORY: u64 = 20 << 20;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("garbage", garbage).smoke(),
        Scenario::new("huge-header", huge_header).smoke(),
        Scenario::new("process-burst", process_burst),
        Scenario::new("otlp-down", otlp_down).smoke(),
        Scenario::new("otlp-hangs", otlp_hangs),
    ]
}

fn garbage(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    let mut noise = fastrand::Rng::with_seed(7);
    for len in [1, 10, 100, 1000, 100_000] {
        let bytes: Vec<u8> = (0..len).map(|_| noise.u8(..)).collect();
        Talk::to(port)?.say(&bytes)?;
    }
    for line in ["\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "GET\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut talk = Talk::to(port)?;
        talk.say(line.as_bytes())?;
        talk.hear(false)?;
    }
    web::get(port, "/good")?;
    let spans = scene.spans(1)?;
    ensure!(spans.iter().any(|span| span.attr("url.path") == "/good"), "the good one is missing");
    Ok(Expected::server(1).losing(&["assemble/unclaimed", "assemble/unreadable"]))
}

fn huge_header(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    let mut talk = Talk::to(port)?;
    let header = format!("X-Huge: {}\r\n", "h".repeat(MIB));
    for _ in 0..3 {
        talk.say(web::request("GET", "/huge", &header).as_bytes())?;
        ensure!(talk.hear(false)?.status == 200, "it is answered");
    }
    talk.get("/small")?;
    let spans = scene.spans(4)?;
    let huge = spans.iter().filter(|span| span.attr("url.path") == "/huge").count();
    ensure!(huge == 3, "{huge} spans of the huge request, not 3");
    Ok(Expected::server(4))
}

fn process_burst(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "i=0; while [ $i -lt 2000 ]; do /bin/true & i=$((i+1)); done; wait"]);
    let burst = scene.start(shell)?;
    for n in 0..50 {
        web::get(port, &format!("/during/{n}"))?;
    }
    let limit = scene.limit();
    scene.program(burst)?.succeed(limit * 2)?;
    web::get(port, "/after")?;
    let held = scene.vor()?.anonymous()?;
    ensure!(held < MEMORY, "vor holds {} MiB", held >> 20);
    Ok(Expected::server(51))
}

/// Spans are printed whatever becomes of the collector, and vor stops in time.
fn without_collector(scene: &mut Scene<'_>, collector: u16) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    let settings = Settings::port(port)
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{collector}"))
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    scene.observe_printed(&settings, &[server.pid])?;
    ensure!(web::load(port, 4, 1000)? == 1000, "all are answered");
    scene.printed(1000)?;
    let held = scene.vor()?.anonymous()?;
    ensure!(held < MEMORY, "vor holds {} MiB", held >> 20);
    Ok(Expected::server(1000))
}

fn otlp_down(scene: &mut Scene<'_>) -> Result<Expected> {
    let expected = without_collector(scene, ports::free()?)?;
    let losses = ["otlp_traces/unreachable", "otlp_metrics/unreachable"];
    Ok(expected.losing(&losses).holding(&["otlp_traces", "otlp_metrics"]))
}

fn otlp_hangs(scene: &mut Scene<'_>) -> Result<Expected> {
    let deaf = TcpListener::bind(("127.0.0.1", 0))?;
    let port = deaf.local_addr()?.port();
    // Takes connections and never says a word.
    thread::spawn(move || deaf.incoming().collect::<Vec<_>>());
    Ok(without_collector(scene, port)?.holding(&["otlp_traces", "otlp_metrics"]))
}
