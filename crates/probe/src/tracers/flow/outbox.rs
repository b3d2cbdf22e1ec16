// SPDX-License-Identifier: Apache-2.0
//! Flows on their way to the pipeline: counted, in batches, never waited for.

use std::collections::VecDeque;
use std::mem;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use vor_health::{Board, Counter};
use vor_model::Flow;

/// Flows per batch.
const BATCH: usize = 512;

/// What was counted: packets, in = out + all lost; bytes beside them.
#[derive(Debug)]
struct Counts {
    taken: Counter,
    given: Counter,
    full: Counter,
    bytes_taken: Counter,
    bytes_given: Counter,
    bytes_lost: Counter,
    waiting: Counter,
}

/// Batches that wait for room in the channel.
#[derive(Debug)]
pub(super) struct Outbox {
    flows: Sender<Vec<Flow>>,
    open: Vec<Flow>,
    waiting: VecDeque<Vec<Flow>>,
    most: usize,
    counts: Counts,
}

impl Outbox {
    /// At most `most` flows wait.
    pub(super) fn new(flows: Sender<Vec<Flow>>, most: usize, board: &Board) -> Self {
        let count = |what| board.counter(super::STAGE, what);
        let counts = Counts {
            taken: count("in"),
            given: count("out"),
            full: count("lost.full"),
            bytes_taken: count("bytes.in"),
            bytes_given: count("bytes.out"),
            bytes_lost: count("bytes.lost"),
            waiting: count("waiting"),
        };
        Self { flows, open: Vec::new(), waiting: VecDeque::new(), most: most / BATCH + 1, counts }
    }

    pub(super) fn put(&mut self, flow: Flow) {
        self.counts.taken.add(flow.packets);
        self.counts.bytes_taken.add(flow.bytes);
        self.open.push(flow);
        if self.open.len() >= BATCH {
            self.flush();
        }
    }

    /// Gives what there is room for; what is beyond the bound is lost, the oldest first.
    pub(super) fn flush(&mut self) {
        self.close();
        while let Some(batch) = self.waiting.pop_front() {
            let sums = sums(&batch);
            match self.flows.try_send(batch) {
                Ok(()) => self.counts.gave(sums),
                Err(TrySendError::Full(batch)) => {
                    self.waiting.push_front(batch);
                    break;
                }
                Err(TrySendError::Closed(_)) => self.counts.lost(sums),
            }
        }
        while self.waiting.len() > self.most {
            let Some(batch) = self.waiting.pop_front() else { break };
            self.counts.lost(sums(&batch));
        }
        self.counts.waiting.set(vor_health::count(self.waiting.len() * BATCH));
    }

    /// Gives all that is left, and waits for room: the pipeline takes flows until the channel is closed.
    pub(super) fn finish(&mut self) {
        self.close();
        for batch in mem::take(&mut self.waiting) {
            let sums = sums(&batch);
            match self.flows.blocking_send(batch) {
                Ok(()) => self.counts.gave(sums),
                Err(_gone) => self.counts.lost(sums),
            }
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.waiting.push_back(mem::take(&mut self.open));
        }
    }
}

impl Counts {
    fn gave(&self, (packets, bytes): (u64, u64)) {
        self.given.add(packets);
        self.bytes_given.add(bytes);
    }

    fn lost(&self, (packets, bytes): (u64, u64)) {
        self.full.add(packets);
        self.bytes_lost.add(bytes);
    }
}

fn sums(batch: &[Flow]) -> (u64, u64) {
    batch.iter().fold((0, 0), |(packets, bytes), flow| (packets + flow.packets, bytes + flow.bytes))
}
