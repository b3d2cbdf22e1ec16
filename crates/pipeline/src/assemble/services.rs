// SPDX-License-Identifier: Apache-2.0
//! Which process belongs to which service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vor_model::{Mono, ProcessKey, Service};

/// Names of processes. Written by discovery from its own thread, read while spans are made.
#[derive(Debug)]
pub struct Services {
    /// How long a name outlives its process.
    kept: Duration,
    table: Mutex<HashMap<ProcessKey, Entry>>,
}

#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    /// Until then a better name may come.
    awaited: Option<Mono>,
    until: Option<Mono>,
}

/// What a process is called.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) service: Arc<Service>,
    /// Whether it is worth waiting for a better name.
    pub(super) awaited: bool,
}

impl Services {
    /// A table without names. A name outlives its process by `kept`, so that operations on their way still find it.
    #[must_use]
    pub fn new(kept: Duration) -> Arc<Self> {
        Arc::new(Self { kept, table: Mutex::default() })
    }

    /// The process belongs to `service` from now on: it was found, or more is known of it.
    pub fn insert(&self, process: ProcessKey, service: Arc<Service>) {
        self.table().insert(process, Entry { service, awaited: None, until: None });
    }

    /// The same, but a better name may come until then; whoever can waits for it. A name that was awaited before is
    /// not awaited any longer than it was.
    pub fn expect(&self, process: ProcessKey, service: Arc<Service>, until: Mono) {
        let mut table = self.table();
        let before = table.get(&process).map(|entry| entry.awaited);
        let awaited = before.unwrap_or(Some(until));
        table.insert(process, Entry { service, awaited, until: None });
    }

    /// The process ended at `now`.
    pub fn remove(&self, process: ProcessKey, now: Mono) {
        let kept = u64::try_from(self.kept.as_nanos()).unwrap_or(u64::MAX);
        if let Some(entry) = self.table().get_mut(&process) {
            entry.until.get_or_insert(Mono(now.0.saturating_add(kept)));
        }
    }

    /// The service that `process` belongs to, as far as is known.
    #[must_use]
    pub fn of(&self, process: ProcessKey) -> Option<Arc<Service>> {
        self.table().get(&process).map(|entry| Arc::clone(&entry.service))
    }

    /// What `process` is called.
    pub(super) fn get(&self, process: ProcessKey, now: Mono) -> Option<Named> {
        let table = self.table();
        let entry = table.get(&process)?;
        let awaited = entry.awaited.is_some_and(|until| until > now);
        Some(Named { service: Arc::clone(&entry.service), awaited })
    }

    /// Forgets the names that were kept long enough.
    pub fn sweep(&self, now: Mono) {
        self.table().retain(|_, entry| entry.until.is_none_or(|until| until > now));
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<ProcessKey, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
