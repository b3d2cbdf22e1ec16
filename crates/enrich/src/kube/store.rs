// SPDX-License-Identifier: Apache-2.0
//! What is known of the cluster now. Filled by watches or by a shared cache, asked for every span and flow.
//!
//! In: [`Store::put`], [`Store::remove`], [`Store::keep_only`]. Out: workloads by address and by container, and
//! all changes for those who subscribe. Counted as stage `kube`: each change that comes `in` goes `out` or is
//! `lost.full`, because `attributes.kubernetes.max_objects` are known already.
//!
//! Nothing here waits: a lock is held for one look or one change. Objects stay when whoever fills the store is
//! away, and for [`GRACE`] after they are gone, for what is still on its way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use vor_health::{Board, Counter, count};
use vor_model::Workload;

use super::index::Index;
use super::object::{Kind, Object, ObjectId};
use super::rules::{Rules, reads_annotation};
use super::words::Words;

/// How long an object that is gone is still found.
const GRACE: Duration = Duration::from_secs(30);

/// Changes that a subscriber may lag behind before it must begin anew.
const BACKLOG: usize = 4096;

/// The cluster changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object is new, or other than before.
    Put(Arc<Object>),
    /// An object is no more.
    Gone(ObjectId),
    /// All objects of this kind have been told.
    Synced(Kind),
}

/// What is known of the cluster.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    words: Mutex<Words>,
    changes: broadcast::Sender<Change>,
    /// Counts changes that concern containers of this node.
    revision: AtomicU64,
    max_objects: usize,
    counters: Counters,
}

#[derive(Debug)]
struct Inner {
    objects: HashMap<ObjectId, Arc<Object>>,
    index: Index,
    synced: HashSet<Kind>,
    /// Objects that are gone, and until when they are found.
    departed: VecDeque<(Instant, Arc<Object>)>,
    /// The node this store is for, whose pods are kept in full. None: all are.
    node: Option<Arc<str>>,
}

#[derive(Debug)]
struct Counters {
    taken: Counter,
    given: Counter,
    full: Counter,
    objects: [Counter; 4],
    addresses: Counter,
    containers: Counter,
    words: Counter,
}

impl Store {
    /// An empty store of at most `max_objects`, which names by `rules`.
    #[must_use]
    pub fn new(max_objects: usize, rules: Rules, board: &Board) -> Arc<Self> {
        let count = |what| board.counter("kube", what);
        Arc::new(Self {
            inner: Mutex::new(Inner {
                objects: HashMap::new(),
                index: Index::new(rules),
                synced: HashSet::new(),
                departed: VecDeque::new(),
                node: None,
            }),
            words: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
            revision: AtomicU64::new(0),
            max_objects,
            counters: Counters {
                taken: count("in"),
                given: count("out"),
                full: count("lost.full"),
                objects: [count("nodes"), count("jobs"), count("services"), count("pods")],
                addresses: count("addresses"),
                containers: count("containers"),
                words: count("words"),
            },
        })
    }

    /// From now on only pods of `node` are kept in full; of the others what names their addresses.
    pub fn keep_in_full(&self, node: &str) {
        self.inner().node = Some(Arc::from(node));
    }

    /// The cluster is called `name`.
    pub fn name_cluster(&self, name: &str) {
        self.inner().index.name_cluster(name);
        self.revised();
    }

    /// `text`, shared with all who have the same.
    #[must_use]
    pub fn word(&self, text: &str) -> Arc<str> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).share(text)
    }

    /// An object is new, or other than before.
    pub fn put(&self, object: Object) {
        self.counters.taken.inc();
        let mut inner = self.inner();
        let object = Arc::new(inner.cut(object));
        let id = object.id();
        let old = inner.objects.get(&id);
        if old.is_some_and(|old| **old == *object) {
            return self.counters.given.inc();
        }
        if old.is_none() && inner.objects.len() >= self.max_objects {
            return self.counters.full.inc();
        }
        let old = inner.objects.insert(id, Arc::clone(&object));
        let local = inner.index.replace(old.as_ref(), &object);
        self.gauge(&inner);
        self.counters.given.inc();
        if local {
            self.revised();
        }
        // Nobody may be listening. Sent under the lock, so that a snapshot and what follows it have no gap.
        let _ = self.changes.send(Change::Put(object));
    }

    /// An object is no more.
    pub fn remove(&self, id: &ObjectId) {
        self.counters.taken.inc();
        self.take_away(&mut self.inner(), id);
        self.counters.given.inc();
    }

    /// All objects of `kind` have been told, and those whose uid is not in `alive` are no more.
    pub fn keep_only(&self, kind: Kind, alive: &HashSet<Arc<str>>) {
        let mut inner = self.inner();
        let ids = inner.objects.keys().filter(|id| id.kind == kind && !alive.contains(&id.uid));
        for id in ids.cloned().collect::<Vec<_>>() {
            self.take_away(&mut inner, &id);
        }
        inner.synced.insert(kind);
        let _ = self.changes.send(Change::Synced(kind));
    }

    /// Whether all objects of `kind` have been told once.
    #[must_use]
    pub fn is_synced(&self, kind: Kind) -> bool {
        self.inner().synced.contains(&kind)
    }

    /// All objects, and the changes from then on. A receiver that lags too far behind must begin anew.
    #[must_use]
    pub fn subscribe(&self) -> (Vec<Arc<Object>>, broadcast::Receiver<Change>) {
        let inner = self.inner();
        (inner.objects.values().cloned().collect(), self.changes.subscribe())
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner().objects.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who has this address.
    #[must_use]
    pub fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        self.inner().index.at(ip)
    }

    /// Whose this container is.
    #[must_use]
    pub fn of(&self, container: &str) -> Option<Arc<Workload>> {
        self.inner().index.of(container)
    }

    /// Rises when containers of this node may be told otherwise than before.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The object that is called so.
    #[must_use]
    pub fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let is_it = |object: &&Arc<Object>| {
            let meta = object.meta();
            object.kind() == kind && *meta.name == *name && *meta.namespace == *namespace
        };
        self.inner().objects.values().find(is_it).cloned()
    }

    /// All objects of `kind`.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<Arc<Object>> {
        let inner = self.inner();
        inner.objects.values().filter(|object| object.kind() == kind).cloned().collect()
    }

    /// Forgets what was kept long enough; called once a second or so.
    pub fn sweep(&self, now: Instant) {
        let mut inner = self.inner();
        while inner.departed.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, object)) = inner.departed.pop_front() {
                inner.index.forget(&object);
            }
        }
        self.gauge(&inner);
        drop(inner);
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.sweep();
        self.counters.words.set(count(words.len()));
    }

    fn take_away(&self, inner: &mut Inner, id: &ObjectId) {
        let Some(object) = inner.objects.remove(id) else { return };
        inner.index.depart(&object);
        if inner.departed.len() >= self.max_objects
            && let Some((_, oldest)) = inner.departed.pop_front()
        {
            inner.index.forget(&oldest);
        }
        inner.departed.push_back((Instant::now() + GRACE, object));
        let _ = self.changes.send(Change::Gone(id.clone()));
    }

    fn revised(&self) {
        self.revision.fetch_add(1, Ordering::Release);
    }

    fn gauge(&self, inner: &Inner) {
        for (kind, counter) in Kind::ALL.iter().zip(&self.counters.objects) {
            counter.set(inner.index.known(*kind));
        }
        self.counters.addresses.set(count(inner.index.addresses()));
        self.counters.containers.set(count(inner.index.containers()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes from a pod of another node what only its own node needs.
    fn cut(&self, object: Object) -> Object {
        match object {
            Object::Pod(mut pod) if self.node.as_ref().is_some_and(|own| *own != pod.node) => {
                pod.containers = Box::default();
                let rules = self.index.rules();
                pod.meta.labels.retain(|key| rules.reads_label(key));
                pod.meta.annotations.retain(reads_annotation);
                Object::Pod(pod)
            }
            other => other,
        }
    }
}
