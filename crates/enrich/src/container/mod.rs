// SPDX-License-Identifier: Apache-2.0
//! Containers: what they are called and which image they run, as the engines on this machine say.
//!
//! In: ids of containers, asked for by [`Engines::find`]. Out: workloads, once an engine has answered. Counted as stage
//! `containers`: each question that comes `in` goes `out` when somebody knows the container, or is `lost.unknown` when
//! nobody does, `lost.failed` when an engine that might know it gives no answer, or `lost.full`.

mod config;
mod containerd;
mod cri;
mod docker;
mod engine;
pub(crate) mod image;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::mpsc;
use tokio::time::timeout;
use vor_health::{Board, Counter, Verdict};
use vor_model::{Lookup, Workload};

pub use config::ContainersConfig;

const UNIT: &str = "containers";
/// Questions that may wait.
const MAX_WAITING: usize = 1024;
/// Containers that are remembered.
const MAX_KNOWN: NonZeroUsize = match NonZeroUsize::new(4096) {
    Some(known) => known,
    None => NonZeroUsize::MIN,
};
/// How long an engine may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is believed that nobody knows a container.
const BELIEF: Duration = Duration::from_secs(30);

/// What the engines on this machine know of containers.
#[derive(Debug)]
pub struct Engines {
    known: Mutex<LruCache<Arc<str>, Known>>,
    questions: mpsc::Sender<Arc<str>>,
    revision: AtomicU64,
    taken: Counter,
    full: Counter,
}

#[derive(Debug)]
enum Known {
    Asked,
    Workload(Arc<Workload>),
    /// Nobody knew it then.
    Nothing(Instant),
}

impl Engines {
    /// Asks the engines of `config` from a task of the runtime around this. None: no socket of one is there.
    #[must_use]
    pub fn start(config: &ContainersConfig, board: &Arc<Board>) -> Option<Arc<Self>> {
        if !config.sockets.iter().any(|socket| socket.exists()) {
            return None;
        }
        let (questions, asked) = mpsc::channel(MAX_WAITING);
        let engines = Arc::new(Self {
            known: Mutex::new(LruCache::new(MAX_KNOWN)),
            questions,
            revision: AtomicU64::new(0),
            taken: board.counter(UNIT, "in"),
            full: board.counter(UNIT, "lost.full"),
        });
        let task = Task {
            engines: Arc::clone(&engines),
            config: config.clone(),
            board: Arc::clone(board),
            given: board.counter(UNIT, "out"),
            unknown: board.counter(UNIT, "lost.unknown"),
            failed: board.counter(UNIT, "lost.failed"),
        };
        tokio::spawn(task.run(asked));
        Some(engines)
    }

    /// What is known of a container. One that is not known is asked for.
    pub(crate) fn find(&self, container: &Arc<str>) -> Lookup {
        let mut known = self.known();
        match known.get(container) {
            Some(Known::Workload(workload)) => return Lookup::Known(Arc::clone(workload)),
            Some(Known::Asked) => return Lookup::Awaited,
            Some(Known::Nothing(at)) if at.elapsed() < BELIEF => return Lookup::Unknown,
            Some(Known::Nothing(_)) | None => {}
        }
        self.taken.inc();
        if self.questions.try_send(Arc::clone(container)).is_err() {
            self.full.inc();
            return Lookup::Unknown;
        }
        known.put(Arc::clone(container), Known::Asked);
        Lookup::Awaited
    }

    /// Rises with every answer.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn learn(&self, container: Arc<str>, what: Known) {
        self.known().put(container, what);
        self.revision.fetch_add(1, Ordering::Release);
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Arc<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    engines: Arc<Engines>,
    config: ContainersConfig,
    board: Arc<Board>,
    given: Counter,
    unknown: Counter,
    failed: Counter,
}

impl Task {
    async fn run(self, mut questions: mpsc::Receiver<Arc<str>>) {
        while let Some(container) = questions.recv().await {
            let what = self.ask(&container).await;
            self.engines.learn(container, what);
        }
    }

    async fn ask(&self, container: &Arc<str>) -> Known {
        let mut problem = None;
        for socket in self.config.sockets.iter().filter(|socket| socket.exists()) {
            let why = match timeout(PATIENCE, engine::ask(socket, container)).await {
                Ok(Ok(Some(workload))) => {
                    self.given.inc();
                    self.board.judge(UNIT, Verdict::Active);
                    return Known::Workload(Arc::new(workload));
                }
                Ok(Ok(None)) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it takes too long".to_owned(),
            };
            problem = Some(format!("{}: {why}", socket.display()));
        }
        match problem {
            Some(why) => {
                self.failed.inc();
                if self.board.judge(UNIT, Verdict::Degraded(why.clone())) {
                    tracing::warn!(
                        unit = UNIT,
                        why,
                        "a container engine does not tell of containers"
                    );
                }
            }
            None => self.unknown.inc(),
        }
        Known::Nothing(Instant::now())
    }
}
