// SPDX-License-Identifier: Apache-2.0
//! The one registry of verdicts and counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Verdict;

/// Counts one thing at one place. Cheap to clone, cheap to add to; also used as a gauge.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Replaces the value: for gauges, and for totals that the kernel keeps.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are, as counters take it.
#[must_use]
pub fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// One counter's name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Where it is counted (`socket`, `assemble`, `print`, …).
    pub stage: &'static str,
    /// What is counted: `in`, `out`, or `lost.REASON`.
    pub what: &'static str,
    /// How many.
    pub value: u64,
}

type Counters = BTreeMap<(&'static str, &'static str), Counter>;

/// The registry. One per agent, shared by reference.
#[derive(Debug, Default)]
pub struct Board {
    counters: Mutex<Counters>,
    verdicts: Mutex<BTreeMap<&'static str, Verdict>>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The counter of `what` at `stage`; the same one each time it is asked for.
    /// A stage keeps in = out + the sum of its `lost.*`.
    pub fn counter(&self, stage: &'static str, what: &'static str) -> Counter {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.entry((stage, what)).or_default().clone()
    }

    /// All counters, sorted by stage and name.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = |(&(stage, what), counter): (&(_, _), &Counter)| Reading {
            stage,
            what,
            value: counter.get(),
        };
        counters.iter().map(reading).collect()
    }

    /// Says what became of `unit`. True when that is news, so that the caller reports it once.
    pub fn judge(&self, unit: &'static str, verdict: Verdict) -> bool {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let news = verdicts.get(unit) != Some(&verdict);
        verdicts.insert(unit, verdict);
        news
    }

    /// All verdicts, sorted by unit.
    #[must_use]
    pub fn verdicts(&self) -> Vec<(&'static str, Verdict)> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.iter().map(|(unit, verdict)| (*unit, verdict.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_counter_per_place_and_thing() {
        let board = Board::new();
        board.counter("ring", "in").add(2);
        board.counter("ring", "in").inc();
        board.counter("ring", "out").inc();
        let values: Vec<_> = board.readings().iter().map(|r| (r.what, r.value)).collect();
        assert_eq!(values, [("in", 3), ("out", 1)]);
    }

    #[test]
    fn a_verdict_is_news_once() {
        let board = Board::new();
        assert!(board.judge("tls", Verdict::Active));
        assert!(!board.judge("tls", Verdict::Active));
        assert!(board.judge("tls", Verdict::Failed("no symbol".into())));
    }
}
