// SPDX-License-Identifier: Apache-2.0
//! Calls are linked to the requests that caused them: the ways of handing work on that are understood, with eight
//! clients at once. `bench truth` scores all ways.

use anyhow::{Context, Result, ensure};

use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::Scene;
use crate::truth::{self, ALL};

const CLIENTS: usize = 8;
const CASES: usize = 120;

/// Two threads of start-up with a queue between them, and threads five deep, are what Beyla cannot link.
const UNDERSTOOD: [(&str, &str); 9] = [
    ("truth-c-thread", "c/thread"),
    ("truth-python-thread", "python/thread"),
    ("truth-python-nested-threads", "python/nested-threads"),
    ("truth-python-queue", "python/queue"),
    ("truth-python-two-threads", "python/two-threads"),
    ("truth-python-executor", "python/executor"),
    ("truth-python-asyncio", "python/asyncio"),
    ("truth-python-asyncio-tasks", "python/asyncio-tasks"),
    ("truth-nginx-proxy", "nginx/proxy"),
];

pub(super) fn list() -> Vec<Scenario> {
    let scenario = |(name, pattern): (&'static str, &'static str)| {
        Scenario::new(name, move |scene| linked(scene, pattern))
    };
    UNDERSTOOD.into_iter().map(scenario).collect()
}

/// At least 99 of 100 calls are linked, and none to a request of another.
fn linked(scene: &mut Scene<'_>, name: &str) -> Result<Expected> {
    let pattern = ALL.iter().find(|pattern| pattern.name == name).context("no such pattern")?;
    if let Some(missing) = pattern.missing(&scene.world.apps) {
        return Err(Skip(format!("{missing} is not installed")).into());
    }
    let score = truth::cell(scene, pattern, CLIENTS, CASES)?;
    ensure!(score.wrong == 0, "{} of {CASES} calls are linked wrongly", score.wrong);
    ensure!(score.right * 100 >= CASES * 99, "{} of {CASES} calls are linked", score.right);
    Ok(Expected::both(CASES, CASES))
}
