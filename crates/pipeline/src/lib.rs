// SPDX-License-Identifier: Apache-2.0
//! Captured → spans → stages → metrics and outlets. Owns the seams that exporters and lookups fill.
//!
//! In: batches of [`Captured`](vor_model::Captured). Out: `Arc<[Span]>` in each exporter's inbox, series in the meter.
//! Only exporters wait for anything; everything here is called, does its work and returns.

mod assemble;
mod chain;
mod config;
mod meter;
mod outlet;
#[cfg(test)]
mod sample;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use vor_health::Board;
use vor_model::{Clock, Mono, ProcessKey, Workload};

pub use assemble::{Assemble, Judge, Services};
pub use chain::Chain;
pub use config::{Bounds, BucketsConfig, MetricsConfig, Prefix, SpansConfig};
pub use meter::{FamilyPoints, Meter, MeterConfig, Tap};
pub use outlet::{Batch, Closing, Inbox, Outlet};

/// A step over a batch, called by a chain for every batch that passes.
pub trait Stage<T>: Send {
    /// Its name in timings and counters.
    fn name(&self) -> &'static str;
    /// May edit, drop and add; never blocks.
    fn apply(&mut self, batch: &mut Vec<T>);
}

/// Names for addresses and processes. Stages ask it for every span and flow, so it answers from a snapshot
/// that somebody else keeps fresh; it never waits.
pub trait Directory: Send + Sync {
    /// Who has this address now, as far as is known.
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>>;
    /// Whose this process is (a pod, a container), as far as is known.
    fn of(&self, process: ProcessKey) -> Option<Arc<Workload>>;
}

/// Where spans and metrics leave. The composition root calls [`Exporter::start`] once and runs the task.
pub trait Exporter: Send {
    /// Its name in settings, verdicts and counters (`print`, `prometheus`, …).
    fn name(&self) -> &'static str;
    /// Opens what it needs. `None`: its settings say that it is off.
    ///
    /// The task ends by itself when its inbox is closed ([`Inbox::recv`] gives `None`) or [`Closing::wait`]
    /// returns, after it has sent what it still holds.
    fn start(self: Box<Self>, from: &mut Source<'_>) -> Result<Option<Task>, StartError>;
}

/// The work of one exporter, to be run until it ends.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an exporter cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address to listen on is not to be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: String,
        /// Why not.
        error: std::io::Error,
    },
    /// A setting makes no sense together with the others.
    #[error("{key}: {problem}")]
    Setting {
        /// Path of the setting.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// What an exporter may draw from.
pub struct Source<'a> {
    outlet: &'a mut Outlet,
    meter: Arc<Meter>,
    board: Arc<Board>,
}

impl<'a> Source<'a> {
    /// A source of the spans that go through `outlet` and the series of `meter`.
    pub fn new(outlet: &'a mut Outlet, meter: Arc<Meter>, board: Arc<Board>) -> Self {
        Self { outlet, meter, board }
    }

    /// Every span from now on, counted as stage `name`: `in` and `lost.full` are counted by the outlet, `out`
    /// and every other `lost.REASON` by the exporter, per span.
    pub fn inbox(&mut self, name: &'static str) -> Inbox {
        self.outlet.open(name)
    }

    /// Metric series.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Counters and verdicts of vor itself.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// The end of all spans, for exporters that need no inbox.
    #[must_use]
    pub fn closing(&self) -> Closing {
        self.outlet.closing()
    }
}

/// Reads the kernel's steady clock.
#[must_use]
pub fn now() -> Mono {
    let time = clock_gettime(ClockId::Monotonic);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Mono(u64::try_from(nanos).unwrap_or_default())
}

/// What the wall clock says at this moment.
#[must_use]
pub fn clock() -> Clock {
    Clock::now_is(now())
}
