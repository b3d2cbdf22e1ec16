// SPDX-License-Identifier: Apache-2.0
//! The thread that watches: it sleeps until the kernel side tells of a process or the next listing is due.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vor_config::Propagation;
use vor_health::Board;
use vor_model::{Life, Process, ProcessKey, Service};

use crate::census::Census;
use crate::config::DiscoveryConfig;
use crate::container::Containers;
use crate::select::Criteria;

/// What a poll interval of 0 means.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// How many times the interval a listing may wait while life events tell everything.
const MAX_PATIENCE: u32 = 12;

/// How soon news of containers are looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// Events taken at once, so that what is read for one of them serves the others.
const MAX_TURN: usize = 4096;

/// A process that is observed, and what it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The process.
    pub process: Arc<Process>,
    /// Its service.
    pub service: Arc<Service>,
    /// The rule that gave the service its name.
    pub named_by: &'static str,
    /// How it writes trace context; `None`: as everybody.
    pub propagation: Option<Propagation>,
    /// The container it is in.
    pub container: Option<Arc<str>>,
    /// Whether more may be known of it soon.
    pub awaited: bool,
}

/// The set of wanted processes changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A process is wanted.
    Found(Target),
    /// A wanted process runs another program, which is wanted too, or more is known of it. The kernel side lets
    /// go of a process at its exec and must be told again.
    Renamed(Target),
    /// A wanted process ended, runs a program now that is not wanted, or is known to be somebody's now whose
    /// processes are not.
    Gone(ProcessKey),
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// `/proc` cannot be listed.
    #[error("cannot list processes, mount /proc: {0}")]
    Proc(#[source] procfs::ProcError),
    /// There is no thread to be had.
    #[error("cannot start the thread vor-watch: {0}")]
    Thread(#[source] std::io::Error),
}

/// Finds processes.
#[derive(Debug)]
pub struct Discover;

/// A watch that runs. When it is dropped, the watch goes on.
#[derive(Debug)]
pub struct Handle {
    thread: JoinHandle<()>,
}

impl Handle {
    /// Waits until everything is told of the life events that were sent. Drop their sender first.
    pub fn join(self) {
        // The thread returns nothing; had it panicked, the panic has been reported already.
        let _ = self.thread.join();
    }
}

impl Discover {
    /// Runs on its own thread `vor-watch` until the sender of life events is dropped and all of them are taken
    /// in. The first listing begins at once.
    pub fn start(
        criteria: Criteria,
        config: &DiscoveryConfig,
        life: Receiver<Life>,
        containers: Option<Arc<dyn Containers>>,
        events: impl Fn(Event) + Send + 'static,
        board: Arc<Board>,
    ) -> Result<Handle, DiscoverError> {
        crate::proc::pids().map_err(DiscoverError::Proc)?;
        let interval = Some(config.poll_interval.get()).filter(|interval| !interval.is_zero());
        let interval = interval.unwrap_or(DEFAULT_INTERVAL);
        let work = move || {
            let mut census = Census::new(criteria, containers, &board, events);
            watch(&mut census, &life, interval);
        };
        let thread = thread::Builder::new().name("vor-watch".to_owned()).spawn(work);
        thread.map(|thread| Handle { thread }).map_err(DiscoverError::Thread)
    }
}

fn watch<F: Fn(Event)>(census: &mut Census<F>, life: &Receiver<Life>, interval: Duration) {
    let mut pause = interval;
    loop {
        let news = census.list();
        pause = if census.hears() && !news { longer(pause, interval) } else { interval };
        let due = Instant::now() + pause;
        while let Some(rest) = due.checked_duration_since(Instant::now()) {
            let rest = if census.knows_containers() { rest.min(GLANCE) } else { rest };
            match life.recv_timeout(rest) {
                Ok(first) => {
                    census.hear([first].into_iter().chain(life.try_iter().take(MAX_TURN)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            census.glance();
        }
    }
}

/// The pause after a listing that told nothing new: life events suffice, so the next one is less urgent.
fn longer(pause: Duration, interval: Duration) -> Duration {
    pause.saturating_mul(2).min(interval.saturating_mul(MAX_PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_grow_rare_up_to_a_bound() {
        let interval = Duration::from_secs(5);
        let pauses = (0..6).scan(interval, |pause, _| {
            *pause = longer(*pause, interval);
            Some(pause.as_secs())
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [10, 20, 40, 60, 60, 60]);
    }
}
