// SPDX-License-Identifier: Apache-2.0
//! One inbox per exporter, bounded in items. A full inbox loses the batch: here, nowhere else, counted per item.
//! An item is a span or a flow.
//!
//! In: finished batches, once each. Out: the same batch, shared, in every inbox. An exporter that is slow
//! or stuck harms nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use vor_health::{Board, Counter};

/// Items that left the chain together.
pub type Batch<T> = Arc<[T]>;

/// The end of the pipeline.
pub struct Outlet<T> {
    board: Arc<Board>,
    depth: usize,
    doors: Vec<Door<T>>,
    /// Dropped with the outlet, which is what [`Closing`] waits for.
    alive: watch::Sender<()>,
}

struct Door<T> {
    name: &'static str,
    /// Whether it was said that something is lost here.
    told: AtomicBool,
    inbox: mpsc::Sender<(Batch<T>, OwnedSemaphorePermit)>,
    room: Room,
    taken: Counter,
    full: Counter,
    gone: Counter,
}

/// What an inbox may still take.
#[derive(Clone)]
struct Room {
    free: Arc<Semaphore>,
    depth: usize,
    waiting: Counter,
}

impl Room {
    /// Room for `items`; a batch that is larger than the whole inbox needs all of it.
    fn take(&self, items: usize) -> Option<OwnedSemaphorePermit> {
        let items = u32::try_from(items.min(self.depth)).ok()?;
        Arc::clone(&self.free).try_acquire_many_owned(items).ok()
    }

    fn gauge(&self) {
        let waiting = self.depth.saturating_sub(self.free.available_permits());
        self.waiting.set(u64::try_from(waiting).unwrap_or(u64::MAX));
    }
}

/// The deepest inbox, in items.
const MAX_DEPTH: usize = 1 << 24;

impl<T> Outlet<T> {
    /// An outlet whose inboxes hold `depth` items each (1 to 2^24).
    #[must_use]
    pub fn new(depth: usize, board: Arc<Board>) -> Self {
        Self {
            board,
            depth: depth.clamp(1, MAX_DEPTH),
            doors: Vec::new(),
            alive: watch::Sender::new(()),
        }
    }

    /// One more inbox, counted as stage `name`.
    pub fn open(&mut self, name: &'static str) -> Inbox<T> {
        let (inbox, batches) = mpsc::channel(self.depth);
        let count = |what| self.board.counter(name, what);
        let (free, waiting) = (Arc::new(Semaphore::new(self.depth)), count("waiting"));
        let room = Room { free, depth: self.depth, waiting };
        let gone = count("lost.gone");
        self.doors.push(Door {
            name,
            told: AtomicBool::new(false),
            inbox,
            room: room.clone(),
            taken: count("in"),
            full: count("lost.full"),
            gone: gone.clone(),
        });
        Inbox { batches, room, gone }
    }

    /// Something that ends when this outlet is dropped.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(vec![self.alive.subscribe()])
    }

    /// Puts `items` into every inbox that has room.
    pub fn put(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        if self.doors.is_empty() {
            return items.clear();
        }
        let batch: Batch<T> = items.drain(..).collect();
        let count = count(&batch);
        for door in &self.doors {
            door.taken.add(count);
            let Some(room) = door.room.take(batch.len()) else {
                door.full.add(count);
                if !door.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        unit = door.name,
                        "too slow: what finds no room is lost, and counted"
                    );
                }
                continue;
            };
            // Before the exporter can take it out again.
            door.room.gauge();
            // There is a place for each item, so only an exporter that gave up, and has said so, takes none.
            if door.inbox.try_send((Arc::clone(&batch), room)).is_err() {
                door.gone.add(count);
            }
        }
    }
}

fn count<T>(batch: &Batch<T>) -> u64 {
    vor_health::count(batch.len())
}

/// Where one exporter finds its items. What is left in it when it is dropped counts as `lost.gone`.
pub struct Inbox<T> {
    batches: mpsc::Receiver<(Batch<T>, OwnedSemaphorePermit)>,
    room: Room,
    gone: Counter,
}

impl<T> Inbox<T> {
    /// The next batch; waits for one. `None`: there will be no more. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Batch<T>> {
        let taken = self.batches.recv().await;
        self.unpack(taken)
    }

    /// The next batch if one is there already.
    pub fn try_recv(&mut self) -> Option<Batch<T>> {
        let taken = self.batches.try_recv().ok();
        self.unpack(taken)
    }

    /// Gives the room back that the batch had.
    fn unpack(&self, taken: Option<(Batch<T>, OwnedSemaphorePermit)>) -> Option<Batch<T>> {
        let (batch, room) = taken?;
        drop(room);
        self.room.gauge();
        Some(batch)
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.batches.close();
        while let Some(batch) = self.try_recv() {
            self.gone.add(count(&batch));
        }
    }
}

/// The end of everything that outlets give.
#[derive(Debug, Clone)]
pub struct Closing(Vec<watch::Receiver<()>>);

impl Closing {
    /// The end of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns when all of the outlets are gone. Safe to cancel.
    pub async fn wait(&mut self) {
        for alive in &mut self.0 {
            while alive.changed().await.is_ok() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use vor_model::{Attrs, Span};

    use super::*;
    use crate::sample::{service, span};

    fn spans(count: usize) -> Vec<Span> {
        let service = service("cart");
        (0..count).map(|_| span(&service, 1.0, Attrs::new())).collect()
    }

    #[tokio::test]
    async fn a_full_inbox_loses_whole_batches_and_harms_no_other() {
        let board = Board::new();
        let mut outlet = Outlet::new(20, Arc::clone(&board));
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
        let mut outlet = Outlet::new(5, Arc::clone(&board));
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
