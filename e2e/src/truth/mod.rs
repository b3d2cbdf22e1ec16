// SPDX-License-Identifier: Apache-2.0
//! The truth bench: for each way of handing work on, is each outgoing call linked to the request that caused it?
//!
//! A cell is one pattern under so many clients at once: its server answers `/case/N` after it has asked `/down/N`
//! elsewhere, so the numbers link the two without vor's help.

mod patterns;
mod score;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::ports;
use crate::scene::{Scene, exact};
use crate::scrape::{Sample, sum_of};
use crate::until::until;
use crate::vor::Settings;
use crate::web::{Origin, Talk};

pub use patterns::{ALL, Keep, Pattern};
pub use score::Score;

/// The setting that has JVMs load the agent.
pub const AGENT: &str = "VOR_JAVAAGENT_ENABLED";
/// The JVM's answer to vor is the one exchange on its connection, whose protocol vor does not know.
pub const JVM_ANSWER: &str = "assemble/unclaimed";
/// Files of a JVM in which probes stand: its own library, and the agent.
pub const JAVA_FILES: usize = 2;
/// Requests on one connection, where connections are kept.
const FEW: usize = 5;
/// After this without a further span, what is not there is missing.
const SILENCE: Duration = Duration::from_secs(2);

/// Runs a cell in an empty scene: all cases were answered when it returns.
pub fn cell(
    scene: &mut Scene<'_>,
    pattern: &Pattern,
    clients: usize,
    cases: usize,
) -> Result<Score> {
    let origin = Origin::slow(delay)?;
    let port = ports::free()?;
    let command = pattern.command(&scene.world.apps, scene.dir(), port, origin.port)?;
    let server = scene.serve(command, port)?;
    let mut pids = children(scene, server.pid, pattern.workers)?;
    pids.push(server.pid);
    scene.observe(&Settings::port(port).with(AGENT, pattern.agent), &pids)?;
    understood(scene, pids.len())?;
    if pattern.agent {
        instrumented(scene)?;
    }
    let good = ask(port, pattern.keep, clients, cases)?;
    ensure!(good == cases, "{good} of {cases} requests were answered well");
    until("all calls are counted", scene.limit(), || Ok(origin.answered() >= cases))?;
    ensure!(origin.answered() == cases, "the server called {} times", origin.answered());
    settle(scene, 2 * cases)?;
    Ok(Score::of(&scene.collector.arrived().spans, cases))
}

/// Waits until vor has looked into the code of so many processes.
pub fn understood(scene: &mut Scene<'_>, processes: usize) -> Result<()> {
    let limit = scene.limit();
    let vor = scene.vor()?;
    until("vor reads the programs' code", limit, || {
        let page = vor.own_metrics()?;
        let read = |sample: &&Sample| {
            sample.name == "vor_stage_reading"
                && sample.label("stage") == "files"
                && sample.label("what") == "processes"
        };
        Ok(page.iter().find(read).is_some_and(|sample| sample.value >= exact(processes)))
    })
}

/// Waits until a JVM has loaded the agent and vor's probes stand in it.
pub fn instrumented(scene: &mut Scene<'_>) -> Result<()> {
    let limit = scene.limit();
    let vor = scene.vor()?;
    until("a JVM has loaded the agent", limit, || {
        vor.runs()?;
        Ok(sum_of(&vor.own_metrics()?, "vor_stage_out_total", &["agents"]) >= 1.0)
    })?;
    scene.probed(JAVA_FILES)
}

/// Answers come back in another order than calls went out.
fn delay(path: &str) -> Duration {
    let number: u64 = path.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or_default();
    Duration::from_millis(number * 7 % 10)
}

/// Waits for as many spans of requests and calls, or until no more come. A request in Go has spans within it.
fn settle(scene: &Scene<'_>, wanted: usize) -> Result<()> {
    let limit = SILENCE * scene.world.patience;
    let (mut seen, mut since) = (0, Instant::now());
    until("the end of the spans", limit * 30, || {
        let arrived = scene.collector.arrived();
        let now = arrived.spans.iter().filter(|span| span.kind != SpanKind::Internal).count();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        Ok(seen >= wanted || since.elapsed() > limit)
    })
}

/// The children of a program, once there are so many.
fn children(scene: &Scene<'_>, pid: u32, count: usize) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    until(format!("{count} children of {pid}"), scene.limit(), || {
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        found = list.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Ok(found.len() >= count)
    })?;
    Ok(found)
}

/// Asks for `/case/0` to `/case/CASES` by `clients` at once, and returns how many answers were good.
fn ask(port: u16, keep: Keep, clients: usize, cases: usize) -> Result<usize> {
    let next = Arc::new(AtomicUsize::new(0));
    let crew: Vec<_> = (0..clients)
        .map(|_| {
            let next = Arc::clone(&next);
            thread::spawn(move || one_client(port, keep, &next, cases))
        })
        .collect();
    let mut sum = 0;
    for member in crew {
        sum += member.join().ok().context("a client thread panicked")??;
    }
    Ok(sum)
}

fn one_client(port: u16, keep: Keep, next: &AtomicUsize, cases: usize) -> Result<usize> {
    let on_one = match keep {
        Keep::One => 1,
        Keep::Few => FEW,
    };
    let mut good = 0;
    loop {
        let mut talk = Talk::to(port)?;
        for _ in 0..on_one {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= cases {
                return Ok(good);
            }
            good += usize::from(talk.get(&format!("/case/{n}"))?.status == 200);
        }
    }
}
