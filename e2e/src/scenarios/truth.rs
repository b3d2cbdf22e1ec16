// SPDX-License-Identifier: Apache-2.0
//! Calls are linked to the requests that caused them: the ways of handing work on that are understood, with eight
//! clients at once. `bench truth` scores all ways.

use anyhow::{Context, Result, ensure};

use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::Scene;
use crate::truth::{self, ALL};

const CLIENTS: usize = 8;
const CASES: usize = 120;

/// Two threads or goroutines of start-up with a queue or a channel between them, and five deep, are what Beyla cannot
/// link.
const UNDERSTOOD: [(&str, &str); 41] = [
    ("truth-c-thread", "c/thread"),
    ("truth-c-async-queue", "c/async-queue"),
    ("truth-c-thread-pool", "c/thread-pool"),
    ("truth-c-leased", "c/leased"),
    ("truth-python-thread", "python/thread"),
    ("truth-python-nested-threads", "python/nested-threads"),
    ("truth-python-queue", "python/queue"),
    ("truth-python-two-threads", "python/two-threads"),
    ("truth-python-executor", "python/executor"),
    ("truth-python-asyncio", "python/asyncio"),
    ("truth-python-asyncio-tasks", "python/asyncio-tasks"),
    ("truth-go-nested", "go/nested"),
    ("truth-go-two", "go/two"),
    ("truth-go-full", "go/full"),
    ("truth-go-select", "go/select"),
    ("truth-node-once", "node/once"),
    ("truth-node-await", "node/await"),
    ("truth-node-keep-alive", "node/keep-alive"),
    ("truth-node-callbacks", "node/callbacks"),
    ("truth-node-body", "node/body"),
    ("truth-node-then", "node/then"),
    ("truth-node-all", "node/all"),
    ("truth-node-cached", "node/cached"),
    ("truth-node-iterator", "node/iterator"),
    ("truth-node-queued", "node/queued"),
    ("truth-node-fetch", "node/fetch"),
    ("truth-node-storage", "node/storage"),
    ("truth-node-collected", "node/collected"),
    ("truth-java-pool", "java/pool"),
    ("truth-java-queue", "java/queue"),
    ("truth-java-cached", "java/cached"),
    ("truth-java-scheduled", "java/scheduled"),
    ("truth-java-async", "java/async"),
    ("truth-java-forkjoin", "java/forkjoin"),
    ("truth-java-leased", "java/leased"),
    ("truth-java-shared", "java/shared"),
    ("truth-java-virtual", "java/virtual"),
    ("truth-java-virtual-nested", "java/virtual-nested"),
    ("truth-java-virtual-queue", "java/virtual-queue"),
    ("truth-nginx-proxy", "nginx/proxy"),
    ("truth-php-server", "php/server"),
];

/// Threads that go on with the work of others, and nobody tells when.
const NOT_UNDERSTOOD: [(&str, &str); 5] = [
    ("truth-c-epoll", "c/epoll"),
    ("truth-node-shared", "node/shared"),
    ("truth-java-alone-scheduled", "java-alone/scheduled"),
    ("truth-java-alone-forkjoin", "java-alone/forkjoin"),
    ("truth-rust-spawn", "rust/spawn"),
];

pub(super) fn list() -> Vec<Scenario> {
    let understood = UNDERSTOOD.into_iter().map(|(name, pattern)| {
        Scenario::new(name, move |scene| linked(scene, pattern, CASES * 99 / 100))
    });
    let other = NOT_UNDERSTOOD
        .into_iter()
        .map(|(name, pattern)| Scenario::new(name, move |scene| linked(scene, pattern, 0)));
    understood.chain(other).collect()
}

/// So many calls are linked, none to a request of another, and none is missing.
fn linked(scene: &mut Scene<'_>, name: &str, enough: usize) -> Result<Expected> {
    let pattern = ALL.iter().find(|pattern| pattern.name == name).context("no such pattern")?;
    if let Some(missing) = pattern.missing(&scene.world.apps) {
        return Err(Skip(format!("{missing} is not installed")).into());
    }
    let score = truth::cell(scene, pattern, CLIENTS, CASES)?;
    ensure!(score.wrong == 0, "{} of {CASES} calls are linked wrongly", score.wrong);
    ensure!(score.missing == 0, "{} of {CASES} calls are missing", score.missing);
    ensure!(score.right >= enough, "{} of {CASES} calls are linked", score.right);
    let answer = pattern.agent.then_some(truth::JVM_ANSWER);
    Ok(Expected::both(CASES, CASES).losing(answer.as_slice()))
}
