// SPDX-License-Identifier: Apache-2.0
//! Metric families → series → points: the one place where metrics are counted.
//!
//! In: batches of spans. Out: cumulative points of one moment, the same ones for every metric exporter.

use std::sync::Arc;

use vor_model::{Family, Mono, Point, Span};

/// How metrics are kept.
#[derive(Debug, Clone)]
pub struct MeterConfig {}

/// All series.
#[derive(Debug)]
pub struct Meter {}

/// The points of one family at one moment.
#[derive(Debug, Clone)]
pub struct FamilyPoints {
    /// Which family.
    pub family: &'static Family,
    /// Upper bounds of the explicit buckets of every point here; may be configured, so not always the family's own.
    pub bounds: Arc<[f64]>,
    /// One per series, in no particular order.
    pub points: Vec<Point>,
}

impl Meter {
    /// Counts `spans`.
    pub fn record(&self, _spans: &[Span], _now: Mono) {}

    /// Every series that was fed by one of the `wanted` protocols (by [`vor_model::Operation::protocol`]),
    /// as it stands at `now`; families in a fixed order. Series without news for longer than the TTL are gone.
    #[must_use]
    pub fn snapshot(&self, _now: Mono, _wanted: &dyn Fn(&str) -> bool) -> Vec<FamilyPoints> {
        Vec::new()
    }
}
