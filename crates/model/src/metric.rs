// SPDX-License-Identifier: Apache-2.0
//! Metric families: one definition feeds every metric exporter and the reference page.

use std::sync::Arc;

use crate::attrs::{Attrs, Key};
use crate::service::Service;
use crate::time::Mono;
use crate::trace::{SpanId, TraceId};

/// Numbers of one name that operations or flows feed.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// OpenTelemetry name (`http.server.request.duration`).
    pub name: &'static str,
    /// Whether a semantic convention has that name; if not, the configured prefix stands in front of it.
    pub standard: bool,
    /// What it is selected by.
    pub group: Group,
    /// UCUM unit (`s`, `By`).
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What becomes of the values.
    pub instrument: Instrument,
    /// What is measured.
    pub measure: Measure,
    /// Attributes that become labels unless configured otherwise, in order.
    pub labels: &'static [Key],
    /// Further attributes that become labels when they are asked for.
    pub optional: &'static [Key],
}

/// Families that are switched on and off together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// What observed services ask and answer.
    Application,
    /// Network flows.
    Network,
    /// Packets of network flows.
    NetworkPackets,
    /// Network flows between zones.
    InterZone,
    /// What TCP and DNS say of themselves.
    Stats,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Application, Self::Network, Self::NetworkPackets, Self::InterZone, Self::Stats];

    /// Whether each series belongs to a service; if not, it belongs to the host.
    #[must_use]
    pub const fn is_of_services(self) -> bool {
        matches!(self, Self::Application)
    }
}

/// What becomes of the values of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Instrument {
    /// They are added up; they are whole numbers.
    Sum,
    /// They are counted in buckets with these upper bounds, ascending.
    Histogram(&'static [f64]),
}

/// What a family measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// The duration in seconds.
    Duration,
    /// A numeric attribute; what has none does not count.
    Attribute(Key),
}

/// One series at one moment: cumulative since `since`.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Whose it is.
    pub service: Arc<Service>,
    /// Its labels, in the family's order.
    pub labels: Attrs,
    /// When counting began.
    pub since: Mono,
    /// What was counted.
    pub number: Number,
    /// Samples of single operations behind the numbers, newest last.
    pub exemplars: Vec<Exemplar>,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// The sum of the values.
    Sum(u64),
    /// How they are distributed.
    Histogram(Histogram),
}

impl Number {
    /// The distribution, if it is one.
    #[must_use]
    pub const fn histogram(&self) -> Option<&Histogram> {
        match self {
            Self::Histogram(histogram) => Some(histogram),
            Self::Sum(_) => None,
        }
    }
}

/// A distribution, with explicit and with base-2 exponential buckets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Values at or below each bound of the family and above the one before; the last one has no upper bound.
    pub buckets: Box<[u64]>,
    /// The same values in exponential buckets.
    pub exponential: Exponential,
}

/// Base-2 exponential buckets, as OpenTelemetry's data model defines them: bucket `i` holds values in
/// `(base^i, base^(i+1)]` with `base = 2^(2^-scale)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exponential {
    /// Resolution, -10 to 20; falls as the range of values grows.
    pub scale: i8,
    /// Values that are zero.
    pub zeros: u64,
    /// Index of the first bucket.
    pub offset: i32,
    /// Counts of consecutive buckets.
    pub counts: Vec<u64>,
}

/// One operation behind a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// What it measured.
    pub value: f64,
    /// When.
    pub at: Mono,
    /// Its trace.
    pub trace: TraceId,
    /// Its span.
    pub span: SpanId,
}
