// SPDX-License-Identifier: Apache-2.0
//! Many requests: each counted exactly once, little memory, soon.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{epoll, observed_epoll};
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene, exact};
use crate::scrape::{self, Sample};
use crate::until::until;
use crate::vor::Settings;
use crate::web;

const MEMORY: u64 = 30 << 20;
const FIRST_SPAN: Duration = Duration::from_millis(300);

/// A script for wrk that ends it early.
const STOP: &str = "local n = 0\nfunction response()\n  n = n + 1\n  if n == 6000 then wrk.thread:stop() end\nend\n";
/// Where vor sheds what is too much.
const SHED: [&str; 3] = ["socket/ring_full", "socket/full", "print/full"];

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("ten-thousand-requests", ten_thousand),
        Scenario::new("full-speed", full_speed),
        Scenario::new("full-speed-smoke", |scene| load(scene, 8, 500)).smoke(),
        Scenario::new("wrk", wrk).needs(&["wrk"]),
        Scenario::new("overload", overload).needs(&["wrk"]),
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

/// Runs wrk with these arguments against `port`.
fn run_wrk(scene: &mut Scene<'_>, port: u16, args: &[&str]) -> Result<()> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c32"]).args(args).arg(format!("http://127.0.0.1:{port}/wrk"));
    let client = scene.start(wrk)?;
    let limit = scene.limit();
    scene.program(client)?.succeed(limit)
}

/// wrk as fast as it goes, stopped after some thousand answers.
fn wrk(scene: &mut Scene<'_>) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    scene.observe_printed(&Settings::port(port), &[server.pid])?;
    let script = scene.dir().join("stop.lua");
    fs::write(&script, STOP)?;
    run_wrk(scene, port, &["-d1s", "-s", &script.to_string_lossy()])?;
    let count = served(scene, server)?;
    ensure!(count >= 5_000, "only {count} requests");
    Ok(Expected::server(count))
}

/// More than can be printed: what is missing is counted, to the last request.
fn overload(scene: &mut Scene<'_>) -> Result<Expected> {
    let (server, port) = epoll(scene)?;
    scene.observe_printed(&Settings::port(port), &[server.pid])?;
    run_wrk(scene, port, &["-d1s"])?;
    let count = served(scene, server)?;
    let mut seen = 0.0;
    until("the kernel's count of requests", scene.limit(), || {
        let page = scene.vor()?.own_metrics()?;
        // One request may take several records: those that continue another are not counted.
        seen = reading(&page, "exchanges.ended") - reading(&page, "continued");
        Ok(seen >= exact(count))
    })?;
    ensure!(same(seen, exact(count)), "the kernel counted {seen} of {count} requests");
    scene.balance(&SHED, &[])?;
    let page = scene.vor()?.own_metrics()?;
    let lost = scrape::sum_of(&page, "vor_stage_lost_total", &SHED);
    let printed = scrape::sum_of(&page, "vor_stage_out_total", &["print"]);
    ensure!(same(printed + lost, exact(count)), "{printed} printed, {lost} lost, {count} requests");
    let lines = scene.vor()?.printed()?.len();
    ensure!(same(exact(lines), printed), "{lines} lines, but {printed} are counted");
    Ok(Expected::server(lines).losing(&SHED))
}

/// What a stage counts beside what comes in and goes out.
fn reading(page: &[Sample], what: &str) -> f64 {
    page.iter().filter(|sample| sample.label("what") == what).map(|sample| sample.value).sum()
}

/// Whether two counts are the same number.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.5
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
