// SPDX-License-Identifier: Apache-2.0
//! Metric families: one definition feeds every metric exporter and the reference page.

use std::sync::Arc;

use crate::attrs::{Attrs, Key};
use crate::service::Service;
use crate::time::Mono;
use crate::trace::{SpanId, TraceId};

/// A histogram that operations feed.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// OpenTelemetry name (`http.server.request.duration`).
    pub name: &'static str,
    /// UCUM unit (`s`, `By`).
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What of the operation is measured.
    pub measure: Measure,
    /// Upper bounds of the explicit buckets, ascending.
    pub buckets: &'static [f64],
    /// Attributes that become labels unless configured otherwise, in order.
    pub labels: &'static [Key],
}

/// What of an operation a family measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// Its duration in seconds.
    Duration,
    /// A numeric attribute; an operation without it does not count.
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
    pub histogram: Histogram,
    /// Samples of single operations behind the numbers, newest last.
    pub exemplars: Vec<Exemplar>,
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
