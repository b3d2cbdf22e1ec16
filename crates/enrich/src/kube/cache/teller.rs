// SPDX-License-Identifier: Apache-2.0
//! One agent that follows: what it lacks, then every change, as fast as it takes them.
//!
//! Counted as stage `kube_cache`, per object and client: `in`, `out`, `lost.slow` when the client was too slow and must
//! begin anew, `lost.left` when it went away.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tonic::Status;
use vor_health::{Board, Counter, count};

use super::ledger::{Change, Entry, Ledger, View, What};
use super::proto::{Held, Told};
use super::wire::{kind_of, kind_told};
use crate::kube::object::Kind;

/// A message is told when it is so long.
const FULL: usize = 256 << 10;

#[derive(Debug, Clone)]
pub(super) struct Counters {
    taken: Counter,
    given: Counter,
    slow: Counter,
    left: Counter,
    messages: Counter,
    bytes: Counter,
    dropped: Counter,
}

impl Counters {
    pub(super) fn new(board: &Board) -> Self {
        let count = |what| board.counter("kube_cache", what);
        Self {
            taken: count("in"),
            given: count("out"),
            slow: count("lost.slow"),
            left: count("lost.left"),
            messages: count("messages"),
            bytes: count("bytes"),
            dropped: count("clients_dropped"),
        }
    }
}

/// Tells one client.
pub(super) struct Teller {
    pub(super) ledger: Arc<Ledger>,
    pub(super) view: View,
    pub(super) out: Sender<Result<Told, Status>>,
    pub(super) patience: Duration,
    pub(super) counters: Counters,
    /// For each kind that is told: changes up to this one it knows.
    told: HashMap<Kind, u64>,
    /// What is said next.
    next: Told,
    bytes: usize,
}

/// Why a client is told nothing more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It went away.
    Left,
    /// It took too long.
    Slow,
    /// It asked for something that cannot be.
    Wrong,
    /// The cache ends.
    Over,
}

impl Teller {
    pub(super) fn new(
        ledger: Arc<Ledger>,
        view: View,
        out: Sender<Result<Told, Status>>,
        patience: Duration,
        counters: Counters,
    ) -> Self {
        let (told, next) = (HashMap::new(), Told::default());
        Self { ledger, view, out, patience, counters, told, next, bytes: 0 }
    }

    /// Tells until the client has enough or cannot follow.
    pub(super) async fn run(mut self, held: Vec<Held>) -> End {
        let Err(end) = self.tell(held).await;
        let unsaid = count(self.next.put.len() + self.next.gone.len());
        match end {
            End::Left | End::Wrong | End::Over => self.counters.left.add(unsaid),
            End::Slow => {
                self.counters.slow.add(unsaid);
                self.counters.dropped.inc();
            }
        }
        end
    }

    async fn tell(&mut self, held: Vec<Held>) -> Result<Infallible, End> {
        let mut changes = self.ledger.changes();
        for held in held {
            self.tell_all(&held).await?;
        }
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = self.out.closed() => return Err(End::Left),
            };
            match change {
                Ok(change) => self.add(change).await?,
                Err(RecvError::Closed) => return Err(End::Over),
                Err(RecvError::Lagged(missed)) => {
                    self.counters.taken.add(missed);
                    self.counters.slow.add(missed);
                    return Err(End::Slow);
                }
            }
            if changes.is_empty() {
                self.flush().await?;
            }
        }
    }

    /// Tells everything of one kind that the client lacks, and the mark.
    async fn tell_all(&mut self, held: &Held) -> Result<(), End> {
        let Some(kind) = kind_of(held.kind()) else { return Ok(()) };
        let found = self.ledger.difference(kind, &self.view, &held.digests);
        let Some(difference) = found else {
            let message = "the number of digests must be a power of two, at most 65536";
            // It is the first word, so there is room for it.
            let _ = self.out.try_send(Err(Status::invalid_argument(message)));
            return Err(End::Wrong);
        };
        self.told.insert(kind, difference.number);
        self.next.kind = kind_told(kind).into();
        self.next.stale = difference.stale;
        for entry in difference.entries {
            self.put(&entry).await?;
        }
        self.next.kind = kind_told(kind).into();
        self.next.synced = true;
        self.flush().await
    }

    async fn add(&mut self, change: Change) -> Result<(), End> {
        // What the first telling had is not told twice; kinds that are not wanted, not at all.
        if self.told.get(&change.kind).is_none_or(|known| change.number <= *known) {
            return Ok(());
        }
        let kind = kind_told(change.kind).into();
        if self.next.kind != kind {
            self.flush().await?;
            self.next.kind = kind;
        }
        match change.what {
            What::Put { entry, before } => {
                // What changed may be none of this client's business.
                if before.is_some_and(|before| before.face(&self.view) == entry.face(&self.view)) {
                    return Ok(());
                }
                self.put(&entry).await
            }
            What::Gone(uid) => {
                self.counters.taken.inc();
                self.bytes += uid.len();
                // Uids are not used again, so no object is put after it is gone; a message tells puts first.
                self.next.gone.push(uid.to_string());
                if self.bytes >= FULL { self.flush().await } else { Ok(()) }
            }
        }
    }

    async fn put(&mut self, entry: &Entry) -> Result<(), End> {
        let Some(face) = entry.face(&self.view) else { return Ok(()) };
        let bytes = face.bytes.clone();
        self.counters.taken.inc();
        self.bytes += bytes.len();
        self.next.put.push(bytes);
        if self.bytes >= FULL {
            let kind = self.next.kind;
            self.flush().await?;
            self.next.kind = kind;
        }
        Ok(())
    }

    /// Says what is to be said.
    async fn flush(&mut self) -> Result<(), End> {
        let told = std::mem::take(&mut self.next);
        self.bytes = 0;
        let objects = count(told.put.len() + told.gone.len());
        if objects == 0 && told.stale.is_empty() && !told.synced {
            return Ok(());
        }
        let bytes = count(told.encoded_len());
        match timeout(self.patience, self.out.send(Ok(told))).await {
            Ok(Ok(())) => {
                self.counters.given.add(objects);
                self.counters.messages.inc();
                self.counters.bytes.add(bytes);
                Ok(())
            }
            Ok(Err(_)) => {
                self.counters.left.add(objects);
                Err(End::Left)
            }
            Err(_) => {
                self.counters.slow.add(objects);
                Err(End::Slow)
            }
        }
    }
}
