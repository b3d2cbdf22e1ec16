// SPDX-License-Identifier: Apache-2.0
//! How the watches are doing, as one verdict on the board.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use vor_health::{Board, Counter, Verdict};

use super::object::Kind;

const UNIT: &str = "kube";

/// Which kinds cannot be followed at the moment, and why.
#[derive(Debug)]
pub(super) struct Condition {
    board: Arc<Board>,
    ill: Mutex<BTreeMap<Kind, String>>,
    taken: Counter,
    unreadable: Counter,
    failures: Counter,
}

impl Condition {
    pub(super) fn new(board: &Arc<Board>) -> Arc<Self> {
        Arc::new(Self {
            board: Arc::clone(board),
            ill: Mutex::default(),
            taken: board.counter(UNIT, "in"),
            unreadable: board.counter(UNIT, "lost.unreadable"),
            failures: board.counter(UNIT, "failures"),
        })
    }

    /// `kind` is followed.
    pub(super) fn well(&self, kind: Kind) {
        let mut ill = self.ill.lock().unwrap_or_else(PoisonError::into_inner);
        if ill.remove(&kind).is_some() {
            tracing::info!(unit = UNIT, kind = kind.as_str(), "followed again");
        }
        self.judge(&ill);
    }

    /// `kind` cannot be followed; what is known of it stays.
    pub(super) fn ill(&self, kind: Kind, why: &str) {
        self.failures.inc();
        let mut ill = self.ill.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ill.insert(kind, why.to_owned());
        if known.is_none() {
            tracing::warn!(
                unit = UNIT,
                kind = kind.as_str(),
                why,
                "cannot be followed, trying again"
            );
        } else {
            tracing::debug!(unit = UNIT, kind = kind.as_str(), why, "still cannot be followed");
        }
        self.judge(&ill);
    }

    /// Something that was told of an object of `kind` cannot be read.
    pub(super) fn unreadable(&self, kind: Kind, error: &dyn Display) {
        self.taken.inc();
        if self.unreadable.get() == 0 {
            tracing::warn!(unit = UNIT, kind = kind.as_str(), %error, "an object cannot be read");
        }
        self.unreadable.inc();
    }

    fn judge(&self, ill: &BTreeMap<Kind, String>) {
        let verdict = match ill.iter().next() {
            None => Verdict::Active,
            Some((kind, why)) => Verdict::Degraded(format!(
                "{} of 4 kinds cannot be followed and stay as they were; {}: {why}",
                ill.len(),
                kind.as_str()
            )),
        };
        self.board.judge(UNIT, verdict);
    }
}
