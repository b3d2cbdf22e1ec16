// SPDX-License-Identifier: Apache-2.0
//! Captured → spans → stages → metrics and outlets; flows → stages → the same. Owns the seams that exporters and
//! lookups fill.
//!
//! In: batches of [`Captured`](vor_model::Captured) and of [`Flow`]s. Out: `Arc<[Span]>` and `Arc<[Flow]>` in the
//! inboxes of the exporters that want them, series in the meter.
//! Only exporters wait for anything; everything here is called, does its work and returns.

mod assemble;
mod chain;
mod config;
pub mod flow;
mod meter;
mod outlet;
mod protocol_names;
#[cfg(test)]
mod sample;
pub mod stages;

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use vor_health::Board;
use vor_model::{Clock, Flow, Key, Mono, ProcessKey, Span, Value, Workload};

pub use assemble::{Assemble, Judge, Services};
pub use chain::Chain;
pub use config::{Bounds, BucketsConfig, MetricsConfig, Prefix, SpansConfig};
pub use meter::{FamilyPoints, Measured, Meter, MeterConfig, Select, SelectError, Tap};
pub use outlet::{Batch, Closing, Inbox, Outlet};

/// A step over a batch, called by a chain for every batch that passes.
pub trait Stage<T>: Send {
    /// Its name in timings and counters.
    fn name(&self) -> &'static str;
    /// May edit, drop and add; never blocks.
    fn apply(&mut self, batch: &mut Vec<T>);
}

/// What has attributes.
pub trait Attributed {
    /// The value of `key`, if it has one.
    fn attribute(&self, key: &Key) -> Option<Cow<'_, Value>>;
}

impl Attributed for Span {
    fn attribute(&self, key: &Key) -> Option<Cow<'_, Value>> {
        self.operation.attrs.get(key).map(Cow::Borrowed)
    }
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
    spans: &'a mut Outlet<Span>,
    flows: &'a mut Outlet<Flow>,
    meter: Arc<Meter>,
    board: Arc<Board>,
}

impl<'a> Source<'a> {
    /// A source of the spans and flows that go through the two outlets, and of the series of `meter`.
    pub fn new(
        spans: &'a mut Outlet<Span>,
        flows: &'a mut Outlet<Flow>,
        meter: Arc<Meter>,
        board: Arc<Board>,
    ) -> Self {
        Self { spans, flows, meter, board }
    }

    /// Every span from now on, counted as stage `name`: `in` and `lost.full` are counted by the outlet, `out`
    /// and every other `lost.REASON` by the exporter, per span.
    pub fn spans(&mut self, name: &'static str) -> Inbox<Span> {
        self.spans.open(name)
    }

    /// Every flow from now on, counted likewise.
    pub fn flows(&mut self, name: &'static str) -> Inbox<Flow> {
        self.flows.open(name)
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

    /// The end of all spans and flows, for exporters that need no inbox.
    #[must_use]
    pub fn closing(&self) -> Closing {
        self.spans.closing().and(self.flows.closing())
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
