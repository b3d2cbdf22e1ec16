// SPDX-License-Identifier: Apache-2.0
//! Many requests: each counted exactly once, little memory, soon.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{epoll, observed_epoll};
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene};
use crate::until::until;
use crate::vor::Settings;
use crate::web;

const MEMORY: u64 = 30 << 20;
const FIRST_SPAN: Duration = Duration::from_millis(300);

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("ten-thousand-requests", ten_thousand),
        Scenario::new("full-speed", full_speed),
        Scenario::new("full-speed-smoke", |scene| load(scene, 8, 500)).smoke(),
        Scenario::new("wrk", wrk).needs(&["wrk"]),
        Scenario::new("memory", memory),
        Scenario::new("first-span", first_span),
    ]
}

/// How many requests the server answered, as it says itself when it ends.
fn served(scene: &mut Scene<'_>, server: Actor) -> Result<usize> {
    let limit = scene.limit();
    let program = scene.program(server)?;
    program.signal(Signal::TERM)?;
    program.succeed(limit)?;
    let said = program.stdout()?;
    let count = said.trim().strip_prefix("served ").and_then(|count| count.parse().ok());
    count.with_context(|| format!("the server said {said:?}"))
}

fn ten_thousand(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = observed_epoll(scene, &Settings::default())?;
    ensure!(web::load(port, 64, 10_000)? == 10_000, "all are answered");
    let spans = scene.spans(10_000)?;
    let mut paths: Vec<_> = spans.iter().map(|span| span.attr("url.path")).collect();
    paths.sort_unstable();
    paths.dedup();
    ensure!(paths.len() == 10_000, "{} different paths", paths.len());
    Ok(Expected::server(10_000))
}

/// As a user would start it: a port, text, nothing else.
fn load(scene: &mut Scene<'_>, connections: usize, total: usize) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    scene.observe_printed(&Settings::port(port), &[server.pid])?;
    ensure!(web::load(port, connections, total)? == total, "all are answered");
    let count = served(scene, server)?;
    ensure!(count == total, "the server answered {count}");
    Ok(Expected::server(total))
}

fn full_speed(scene: &mut Scene<'_>) -> Result<Expected> {
    load(scene, 64, 5_000)
}

fn wrk(scene: &mut Scene<'_>) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    scene.observe_printed(&Settings::port(port), &[server.pid])?;
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c32", "-d1s", &format!("http://127.0.0.1:{port}/wrk")]);
    let client = scene.start(wrk)?;
    let limit = scene.limit();
    scene.program(client)?.succeed(limit)?;
    let count = served(scene, server)?;
    ensure!(count >= 5_000, "only {count} requests");
    Ok(Expected::server(count))
}

fn memory(scene: &mut Scene<'_>) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    scene.observe_printed(&Settings::port(port), &[server.pid])?;
    ensure!(web::load(port, 16, 100_000)? == 100_000, "all are answered");
    scene.printed(100_000)?;
    let resident = scene.vor()?.resident()?;
    ensure!(resident < MEMORY, "vor holds {} MiB after 100,000 spans", resident >> 20);
    Ok(Expected::server(100_000))
}

fn first_span(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    scene.observe_printed(&Settings::port(port), &[])?;
    let mut command = scene.world.apps.program("epoll");
    command.arg(port.to_string());
    let server = scene.serve(command, port)?;
    let limit = scene.limit();
    let vor = scene.vor()?;
    vor.observes(server.pid, limit)?;
    let start = Instant::now();
    web::get(port, "/first")?;
    until("the first span", FIRST_SPAN, || Ok(!vor.printed()?.is_empty()))?;
    ensure!(start.elapsed() < FIRST_SPAN, "it took {:?}", start.elapsed());
    Ok(Expected::server(1))
}
