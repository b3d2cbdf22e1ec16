// SPDX-License-Identifier: Apache-2.0
//! Everything that is told, encoded once, and the changes for all who follow.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use super::digest::{Digests, hash};
use super::wire::{encode, encode_cut};
use crate::kube::object::{Kind, Object, ObjectId};
use crate::kube::store::{self, Store};

/// Changes that a client may lag behind before it is dropped.
const BACKLOG: usize = 4096;

/// What of the pods one client is told.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Pods of this node in full. Empty: all in full.
    pub(super) node: String,
    pub(super) this_node_only: bool,
}

/// An object as it is told.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) uid: Arc<str>,
    /// Where a pod runs.
    node: Option<Arc<str>>,
    full: Face,
    /// What other nodes are told of a pod.
    cut: Option<Face>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) bytes: Bytes,
    hash: u64,
}

impl Face {
    fn new(bytes: Bytes) -> Self {
        let hash = hash(&bytes);
        Self { bytes, hash }
    }
}

impl Entry {
    fn new(object: &Object) -> Self {
        let uid = Arc::clone(&object.meta().uid);
        let full = Face::new(encode(object));
        match object {
            Object::Pod(pod) => {
                let (node, cut) = (Arc::clone(&pod.node), Face::new(encode_cut(pod)));
                Self { uid, node: Some(node), full, cut: Some(cut) }
            }
            Object::Service(_) | Object::Node(_) | Object::Job(_) => {
                Self { uid, node: None, full, cut: None }
            }
        }
    }

    /// What is told to whom has this view, if anything.
    pub(super) fn face(&self, view: &View) -> Option<&Face> {
        match (&self.node, &self.cut) {
            (Some(node), Some(cut)) if !view.node.is_empty() && **node != *view.node => {
                (!view.this_node_only).then_some(cut)
            }
            _ => Some(&self.full),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) kind: Kind,
    /// Rises with each change.
    pub(super) number: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Put {
        entry: Arc<Entry>,
        /// As it was told before.
        before: Option<Arc<Entry>>,
    },
    Gone(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct Inner {
    kinds: HashMap<Kind, HashMap<Arc<str>, Arc<Entry>>>,
    number: u64,
}

/// What a client lacks of one kind.
pub(super) struct Difference {
    /// Buckets that are told anew.
    pub(super) stale: Vec<u32>,
    pub(super) entries: Vec<Arc<Entry>>,
    /// Changes up to this one are in it.
    pub(super) number: u64,
}

impl Ledger {
    /// The ledger of what `store` knows now.
    pub(super) fn of(store: &Store) -> (Arc<Self>, broadcast::Receiver<store::Change>) {
        let ledger =
            Arc::new(Self { inner: Mutex::default(), changes: broadcast::Sender::new(BACKLOG) });
        let changes = ledger.begin(store);
        (ledger, changes)
    }

    /// Takes changes of the store until it is no more.
    pub(super) async fn keep(
        &self,
        store: &Store,
        mut changes: broadcast::Receiver<store::Change>,
    ) {
        loop {
            match changes.recv().await {
                Ok(store::Change::Put(object)) => self.put(&object),
                Ok(store::Change::Gone(id)) => self.remove(&id),
                Ok(store::Change::Synced(_)) => {}
                Err(RecvError::Lagged(_)) => changes = self.begin(store),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Changes from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Makes the ledger what the store is, and gives what happens after.
    fn begin(&self, store: &Store) -> broadcast::Receiver<store::Change> {
        let (objects, changes) = store.subscribe();
        for object in &objects {
            self.put(object);
        }
        let known: HashSet<_> = objects.iter().map(|object| object.id()).collect();
        let gone = |(kind, entries): (&Kind, &HashMap<Arc<str>, _>)| {
            let ids = entries.keys().map(|uid| ObjectId { kind: *kind, uid: Arc::clone(uid) });
            ids.filter(|id| !known.contains(id)).collect::<Vec<_>>()
        };
        let gone: Vec<_> = self.inner().kinds.iter().flat_map(gone).collect();
        for id in &gone {
            self.remove(id);
        }
        changes
    }

    fn put(&self, object: &Object) {
        let (kind, entry) = (object.kind(), Arc::new(Entry::new(object)));
        let mut inner = self.inner();
        let entries = inner.kinds.entry(kind).or_default();
        let old = entries.insert(Arc::clone(&entry.uid), Arc::clone(&entry));
        if old.as_ref().is_none_or(|old| old.full != entry.full) {
            self.tell(&mut inner, kind, What::Put { entry, before: old });
        }
    }

    fn remove(&self, id: &ObjectId) {
        let mut inner = self.inner();
        let removed = inner.kinds.get_mut(&id.kind).and_then(|entries| entries.remove(&id.uid));
        if let Some(entry) = removed {
            self.tell(&mut inner, id.kind, What::Gone(Arc::clone(&entry.uid)));
        }
    }

    fn tell(&self, inner: &mut Inner, kind: Kind, what: What) {
        inner.number += 1;
        // Nobody may be following. Sent under the lock, so that numbers rise for everyone.
        let _ = self.changes.send(Change { kind, number: inner.number, what });
    }

    /// What a client with this view lacks, which says it holds objects of these digests. None: their number cannot be.
    pub(super) fn difference(&self, kind: Kind, view: &View, held: &[u64]) -> Option<Difference> {
        let mut digests = Digests::empty(held.len())?;
        let inner = self.inner();
        let entries = || inner.kinds.get(&kind).into_iter().flat_map(HashMap::values);
        let told = || entries().filter_map(|entry| Some((entry, entry.face(view)?)));
        for (entry, face) in told() {
            digests.add(&entry.uid, face.hash);
        }
        let differ = digests.differ(held);
        let is_stale = |entry: &Entry| differ.get(digests.bucket(&entry.uid)) == Some(&true);
        let entries = told().map(|(entry, _)| entry).filter(|entry| is_stale(entry));
        let entries = entries.cloned().collect();
        let stale = (0_u32..).zip(&differ).filter(|(_, differs)| **differs).map(|(at, _)| at);
        Some(Difference { stale: stale.collect(), entries, number: inner.number })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
