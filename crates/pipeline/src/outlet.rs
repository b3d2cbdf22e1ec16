// SPDX-License-Identifier: Apache-2.0
//! One bounded inbox per exporter. A full inbox loses the batch: here, nowhere else, counted per span.
//!
//! In: finished batches, once each. Out: the same batch, shared, in every inbox. An exporter that is slow
//! or stuck harms nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, watch};
use vor_health::{Board, Counter};
use vor_model::Span;

/// Spans that left the chain together.
pub type Batch = Arc<[Span]>;

/// The end of the pipeline.
pub struct Outlet {
    board: Arc<Board>,
    depth: usize,
    doors: Vec<Door>,
    /// Dropped with the outlet, which is what [`Closing`] waits for.
    alive: watch::Sender<()>,
}

struct Door {
    name: &'static str,
    /// Whether it was said that spans are lost here.
    told: AtomicBool,
    inbox: mpsc::Sender<Batch>,
    taken: Counter,
    full: Counter,
    gone: Counter,
    waiting: Counter,
}

impl Outlet {
    /// An outlet whose inboxes hold `depth` batches each (at least 1).
    #[must_use]
    pub fn new(depth: usize, board: Arc<Board>) -> Self {
        Self { board, depth: depth.max(1), doors: Vec::new(), alive: watch::Sender::new(()) }
    }

    /// One more inbox, counted as stage `name`.
    pub fn open(&mut self, name: &'static str) -> Inbox {
        let (inbox, batches) = mpsc::channel(self.depth);
        let count = |what| self.board.counter(name, what);
        let (gone, waiting) = (count("lost.gone"), count("waiting"));
        self.doors.push(Door {
            name,
            told: AtomicBool::new(false),
            inbox,
            taken: count("in"),
            full: count("lost.full"),
            gone: gone.clone(),
            waiting: waiting.clone(),
        });
        Inbox { batches, gone, waiting }
    }

    /// Something that ends when this outlet is dropped.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(self.alive.subscribe())
    }

    /// Puts `spans` into every inbox that has room.
    pub fn put(&self, spans: &mut Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        if self.doors.is_empty() {
            return spans.clear();
        }
        let batch: Batch = spans.drain(..).collect();
        let count = count(&batch);
        for door in &self.doors {
            door.taken.add(count);
            match door.inbox.try_send(Arc::clone(&batch)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    door.full.add(count);
                    if !door.told.swap(true, Ordering::Relaxed) {
                        tracing::warn!(unit = door.name, "too slow: spans are lost, and counted");
                    }
                }
                // Its exporter gave up and has said so.
                Err(mpsc::error::TrySendError::Closed(_)) => door.gone.add(count),
            }
            let waiting = self.depth.saturating_sub(door.inbox.capacity());
            door.waiting.set(u64::try_from(waiting).unwrap_or(u64::MAX));
        }
    }
}

fn count(batch: &Batch) -> u64 {
    u64::try_from(batch.len()).unwrap_or(u64::MAX)
}

/// Where one exporter finds its spans. What is left in it when it is dropped counts as `lost.gone`.
pub struct Inbox {
    batches: mpsc::Receiver<Batch>,
    gone: Counter,
    waiting: Counter,
}

impl Inbox {
    /// The next batch; waits for one. `None`: there will be no more. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Batch> {
        let batch = self.batches.recv().await;
        self.gauge();
        batch
    }

    /// The next batch if one is there already.
    pub fn try_recv(&mut self) -> Option<Batch> {
        let batch = self.batches.try_recv().ok();
        self.gauge();
        batch
    }

    fn gauge(&self) {
        self.waiting.set(u64::try_from(self.batches.len()).unwrap_or(u64::MAX));
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.batches.close();
        while let Some(batch) = self.try_recv() {
            self.gone.add(count(&batch));
        }
    }
}

/// The end of all spans.
#[derive(Debug, Clone)]
pub struct Closing(watch::Receiver<()>);

impl Closing {
    /// Returns when the outlet is gone. Safe to cancel.
    pub async fn wait(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use vor_model::Attrs;

    use super::*;
    use crate::sample::{service, span};

    fn spans(count: usize) -> Vec<Span> {
        let service = service("cart");
        (0..count).map(|_| span(&service, 1.0, Attrs::new())).collect()
    }

    #[tokio::test]
    async fn a_full_inbox_loses_whole_batches_and_harms_no_other() {
        let board = Board::new();
        let mut outlet = Outlet::new(2, Arc::clone(&board));
        let (mut quick, mut slow) = (outlet.open("quick"), outlet.open("slow"));
        let mut received = 0;
        for _ in 0..5 {
            outlet.put(&mut spans(10));
            received += quick.recv().await.unwrap().len();
        }
        drop(outlet);
        assert_eq!((received, quick.recv().await.is_none()), (50, true));
        assert_eq!(board.counter("quick", "waiting").get(), 0);
        let mut late = 0_u64;
        while let Some(batch) = slow.recv().await {
            late += u64::try_from(batch.len()).unwrap();
        }
        let count = |stage, what| board.counter(stage, what).get();
        assert_eq!((count("slow", "in"), late, count("slow", "lost.full")), (50, 20, 30));
        assert_eq!((count("quick", "in"), count("quick", "lost.full")), (50, 0));
    }

    #[tokio::test]
    async fn an_exporter_that_gave_up_is_counted_and_the_end_is_told() {
        let board = Board::new();
        let mut outlet = Outlet::new(2, Arc::clone(&board));
        let inbox = outlet.open("gone");
        outlet.put(&mut spans(2));
        drop(inbox);
        outlet.put(&mut spans(3));
        assert_eq!(board.counter("gone", "lost.gone").get(), 5);
        let mut closing = outlet.closing();
        drop(outlet);
        closing.wait().await;
    }
}
