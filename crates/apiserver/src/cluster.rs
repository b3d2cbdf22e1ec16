// SPDX-License-Identifier: Apache-2.0
//! The cluster that is served, and everything a test may do to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::access::{Access, Account, Asked};
use crate::ask::Ask;
use crate::fault::{Fault, Faults, Wrong};
use crate::generate::{self, Size};
use crate::kinds::Kind;
use crate::store::{Key, Store, well_formed};

/// Shared by all connections and by the test.
pub struct Cluster {
    store: Mutex<Store>,
    access: Mutex<Access>,
    faults: Mutex<Faults>,
    temper: Mutex<Temper>,
    news: watch::Sender<u64>,
    hangups: watch::Sender<u64>,
    present: watch::Sender<bool>,
    watches: AtomicUsize,
}

/// What may be changed while it runs.
#[derive(Debug, Clone, Copy)]
struct Temper {
    skew: SignedDuration,
    bookmarks: Duration,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    pub(crate) fn new(history: usize, bookmarks: Duration) -> Arc<Self> {
        let cluster = Self {
            store: Mutex::new(Store::new(history)),
            access: Mutex::default(),
            faults: Mutex::default(),
            temper: Mutex::new(Temper { skew: SignedDuration::ZERO, bookmarks }),
            news: watch::Sender::new(0),
            hangups: watch::Sender::new(0),
            present: watch::Sender::new(true),
            watches: AtomicUsize::new(0),
        };
        Arc::new(cluster)
    }

    /// Creates an object, with its kind, or replaces it, status included. Gives its version.
    pub fn put(&self, object: Value) -> Result<u64> {
        let kind = object["kind"].as_str().context("the object has no kind")?;
        let kind = Kind::named(kind).with_context(|| format!("no kind {kind} here"))?;
        ensure!(well_formed(&object), "the object has no metadata with a name");
        let now = self.time().to_string();
        let version = self.change(|store| {
            let object = generate::complete(object, kind, &now);
            store.put(kind, object).version
        });
        Ok(version)
    }

    /// Deletes an object; true if it was there. The namespace of nodes and namespaces is empty.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let kind = Kind::named(kind);
        kind.is_some_and(|kind| self.change(|store| store.delete(kind, &key).is_some()))
    }

    /// Fills it with nodes, namespaces, services, owners and pods.
    pub fn generate(&self, size: Size) -> Result<()> {
        generate::all(size).try_for_each(|object| self.put(object).map(drop))
    }

    /// Changes so many of the generated pods, others each time: a label and the version.
    pub fn touch(&self, pods: usize) {
        let Some(kind) = Kind::named("Pod") else { return };
        self.change(|store| {
            let total = store.len(kind).max(1);
            let first = usize::try_from(store.version()).unwrap_or_default() % total;
            let state = store.now(kind);
            for pod in state.objects.values().cycle().skip(first).take(pods.min(total)) {
                let mut fields = pod.fields.clone();
                fields["metadata"]["labels"]["vor.test/touched"] =
                    json!(store.version().to_string());
                store.put(kind, fields);
            }
        });
    }

    /// Forgets all history: whoever continues from an earlier version is told 410.
    pub fn compact(&self) {
        self.store().compact();
    }

    /// Something goes wrong from now on.
    pub fn fault(&self, fault: Fault) {
        locked(&self.faults).add(fault);
    }

    /// Nothing goes wrong from now on.
    pub fn clear_faults(&self) {
        locked(&self.faults).clear();
    }

    /// The token of the account counts from now on.
    pub fn admit(&self, account: Account) {
        locked(&self.access).admit(account);
    }

    /// The token counts no more.
    pub fn revoke(&self, token: &str) {
        locked(&self.access).revoke(token);
    }

    /// What was asked since the start or since it was forgotten.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.access).counts()
    }

    /// Begins to count what is asked anew.
    pub fn forget_asked(&self) {
        locked(&self.access).forget_counts();
    }

    /// Watches that are open now.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    /// The version of the last change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.store().version()
    }

    /// Ends all watches as a server does whose time for them is over.
    pub fn end_watches(&self) {
        self.hangups.send_modify(|times| *times += 1);
    }

    /// Whether it is there: a server that is away refuses connections and has cut all it had.
    pub fn set_present(&self, present: bool) {
        self.present.send_replace(present);
    }

    /// Its clock is wrong by so much.
    pub fn set_skew(&self, skew: SignedDuration) {
        locked(&self.temper).skew = skew;
    }

    /// How often a watch is told how far it has come.
    pub fn set_bookmarks(&self, every: Duration) {
        locked(&self.temper).bookmarks = every;
    }

    pub(crate) fn bookmarks(&self) -> Duration {
        locked(&self.temper).bookmarks
    }

    pub(crate) fn skewed(&self) -> bool {
        !locked(&self.temper).skew.is_zero()
    }

    /// What its clock says.
    pub(crate) fn time(&self) -> Timestamp {
        let now = Timestamp::now();
        let skewed = now.checked_add(locked(&self.temper).skew).unwrap_or(now);
        Timestamp::from_second(skewed.as_second()).unwrap_or(now)
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.store)
    }

    /// Changes the store and tells all watches.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let result = change(&mut store);
        self.news.send_replace(store.version());
        result
    }

    pub(crate) fn access(&self) -> MutexGuard<'_, Access> {
        locked(&self.access)
    }

    pub(crate) fn wrong(&self, ask: &Ask) -> Option<Wrong> {
        locked(&self.faults).take(ask)
    }

    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(crate) fn hangups(&self) -> watch::Receiver<u64> {
        self.hangups.subscribe()
    }

    pub(crate) fn presence(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    /// Counts a watch for as long as what is returned lives.
    pub(crate) fn watching(self: &Arc<Self>) -> Watching {
        self.watches.fetch_add(1, Ordering::Relaxed);
        Watching(Arc::clone(self))
    }
}

pub(crate) struct Watching(Arc<Cluster>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
    }
}
