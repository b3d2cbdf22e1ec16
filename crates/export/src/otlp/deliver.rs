// SPDX-License-Identifier: Apache-2.0
//! Brings requests to the receiver: tries again, counts what became of each item, says when it fails.
//!
//! In: encoded requests and how many items are in each. Out: counters of one stage, where in = out + lost.
//! A request that was not settled when everything ends counts as `lost.shutdown`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use vor_health::{Board, Counter, Verdict};

use super::transport::{Answer, Reply, Transport};

/// The shortest wait, whatever is configured: nobody is to be asked in a tight loop.
const MIN_WAIT: Duration = Duration::from_millis(10);

/// How often and how long a request is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) initial: Duration,
    pub(super) max: Duration,
    /// From the first attempt on; zero: for ever.
    pub(super) elapsed: Duration,
}

/// Brings the requests of one signal.
pub(super) struct Courier {
    stage: &'static str,
    board: Arc<Board>,
    transport: Transport,
    backoff: Backoff,
    random: fastrand::Rng,
    /// Whether the last word about it was a bad one.
    failing: bool,
    /// Whether it was said that a receiver rejects single items.
    told: bool,
    counters: Counters,
}

struct Counters {
    delivered: Counter,
    rejected: Counter,
    refused: Counter,
    unreachable: Counter,
    shutdown: Counter,
    requests: Counter,
    errors: Counter,
}

/// Items that somebody still has to account for. What is left when it is dropped is `lost.shutdown`.
#[derive(Debug)]
pub(super) struct Load {
    left: u64,
    lost: Counter,
}

impl Load {
    /// How many there are.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// `items` more.
    pub(super) fn add(&mut self, items: u64) {
        self.left += items;
    }

    /// Hands `items` of it over.
    pub(super) fn split(&mut self, items: u64) -> Self {
        self.settle(items);
        Self { left: items, lost: self.lost.clone() }
    }

    /// `items` of it are accounted for elsewhere.
    pub(super) fn settle(&mut self, items: u64) {
        self.left = self.left.saturating_sub(items);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.lost.add(self.left);
    }
}

impl Courier {
    pub(super) fn new(
        stage: &'static str,
        board: Arc<Board>,
        transport: Transport,
        backoff: Backoff,
    ) -> Self {
        let count = |what| board.counter(stage, what);
        let counters = Counters {
            delivered: count("out"),
            rejected: count("lost.rejected"),
            refused: count("lost.refused"),
            unreachable: count("lost.unreachable"),
            shutdown: count("lost.shutdown"),
            requests: count("requests"),
            errors: count("errors"),
        };
        let random = fastrand::Rng::new();
        Self { stage, board, transport, backoff, random, failing: false, told: false, counters }
    }

    /// An account of `items`.
    pub(super) fn load(&self, items: u64) -> Load {
        Load { left: items, lost: self.counters.shutdown.clone() }
    }

    /// Sends `body` with its `items` until it is taken, refused or given up. Whether it was taken.
    pub(super) async fn deliver<R: Reply>(
        &mut self,
        body: Bytes,
        items: u64,
        load: &mut Load,
    ) -> bool {
        let begun = Instant::now();
        let mut interval = self.backoff.initial;
        loop {
            self.counters.requests.inc();
            let (after, why) = match self.transport.send::<R>(body.clone()).await {
                Answer::Taken { rejected, message } => {
                    let rejected = rejected.min(items);
                    self.counters.rejected.add(rejected);
                    self.counters.delivered.add(items - rejected);
                    load.settle(items);
                    self.well(rejected, &message);
                    return true;
                }
                Answer::Refused(why) => {
                    self.counters.errors.inc();
                    self.counters.refused.add(items);
                    load.settle(items);
                    self.trouble(&why, "the receiver refuses what it is sent");
                    return false;
                }
                Answer::Later { after, why } => (after, why),
            };
            self.counters.errors.inc();
            self.trouble(&why, "the receiver cannot be reached, trying again");
            let wait = interval.mul_f64(0.5 + self.random.f64()).max(MIN_WAIT);
            let wait = wait.max(after.unwrap_or_default());
            let elapsed = self.backoff.elapsed;
            if !elapsed.is_zero() && begun.elapsed() + wait > elapsed {
                self.counters.unreachable.add(items);
                load.settle(items);
                return false;
            }
            tokio::time::sleep(wait).await;
            interval = (interval * 2).min(self.backoff.max);
        }
    }

    fn trouble(&mut self, why: &str, what: &str) {
        self.board.judge(self.stage, Verdict::Failed(why.to_owned()));
        if !std::mem::replace(&mut self.failing, true) {
            let endpoint = self.transport.uri();
            tracing::warn!(unit = self.stage, endpoint, why, "{what}");
        }
    }

    fn well(&mut self, rejected: u64, message: &str) {
        if (rejected > 0 || !message.is_empty()) && !std::mem::replace(&mut self.told, true) {
            let unit = self.stage;
            tracing::warn!(unit, rejected, message, "the receiver does not take everything");
        }
        self.board.judge(self.stage, Verdict::Active);
        if std::mem::replace(&mut self.failing, false) {
            tracing::info!(unit = self.stage, "the receiver takes what it is sent again");
        }
    }
}
