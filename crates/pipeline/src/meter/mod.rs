// SPDX-License-Identifier: Apache-2.0
//! Metric families → series → points: the one place where metrics are counted.
//!
//! In: batches of what is [`Measured`] (spans, flows), through a [`Tap`] in its chain. Out: cumulative points of one
//! moment, the same ones for every metric exporter. Bounded: a family keeps [`MeterConfig::max_series`] series and puts what
//! is beyond into one overflow series per service; a series without news for the TTL is forgotten.

mod exponential;
mod select;
mod series;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vor_health::{Board, Counter};
use vor_model::{
    Attrs, Exemplar, Family, Group, Instrument, Key, Language, Mono, Point, Service, Span,
};

use crate::config::Prefix;
use crate::{Attributed, Stage};
pub use select::{Select, SelectError};
use series::{Counted, FamilySeries};

/// What metrics are made of.
pub trait Measured: Attributed {
    /// The families that it feeds.
    fn families(&self) -> &'static [&'static Family];
    /// Whose it is; `None`: the host's.
    fn service(&self) -> Option<&Arc<Service>>;
    /// The name of its protocol in selection lists; empty where there is no such list.
    fn protocol(&self) -> &'static str;
    /// How long it took.
    fn duration(&self) -> Duration;
    /// It as an example of `value`.
    fn exemplar(&self, value: f64) -> Option<Exemplar>;
}

impl Measured for Span {
    fn families(&self) -> &'static [&'static Family] {
        self.operation.families
    }

    fn service(&self) -> Option<&Arc<Service>> {
        Some(&self.service)
    }

    fn protocol(&self) -> &'static str {
        self.operation.protocol
    }

    fn duration(&self) -> Duration {
        self.time.duration()
    }

    fn exemplar(&self, value: f64) -> Option<Exemplar> {
        let sampled = self.flags & 1 == 1;
        let example = Exemplar { value, at: self.time.end, trace: self.trace, span: self.id };
        sampled.then_some(example)
    }
}

/// Expired series are looked for this often at most while spans come in.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(30);

/// How metrics are kept.
#[derive(Debug, Clone)]
pub struct MeterConfig {
    /// A series without news for longer is forgotten. Zero: never.
    pub ttl: Duration,
    /// Series per family, over all services. As many overflow series may come on top.
    pub max_series: usize,
    /// Bounds of families measured in seconds instead of their own; finite and ascending.
    pub duration_buckets: Option<Vec<f64>>,
    /// Bounds of families measured in bytes instead of their own; finite and ascending.
    pub size_buckets: Option<Vec<f64>>,
    /// Families that somebody wants; no others are counted.
    pub groups: Vec<Group>,
    /// First word of the names that no semantic convention has.
    pub prefix: Prefix,
    /// Which attributes become labels.
    pub select: Select,
    /// Optional attributes that become labels without being asked for.
    pub shown: Vec<Key>,
    /// Attributes of services that stand beside the labels of their metrics, where there are no resources.
    pub resource: Vec<Key>,
    /// Whose the series are that belong to no service.
    pub host: Arc<Service>,
}

impl Default for MeterConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(70 * 60),
            max_series: 5_000,
            duration_buckets: None,
            size_buckets: None,
            groups: Group::ALL.to_vec(),
            prefix: Prefix::default(),
            select: Select::default(),
            shown: Vec::new(),
            resource: Vec::new(),
            host: Arc::new(Service {
                name: "host".into(),
                namespace: "".into(),
                instance: "".into(),
                language: Language::Generic,
                auto_name: true,
                attrs: Attrs::new(),
            }),
        }
    }
}

/// All series. Shared by the chain that feeds it and the exporters that read it.
#[derive(Debug)]
pub struct Meter {
    config: MeterConfig,
    families: Mutex<Kept>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Kept {
    families: Vec<FamilySeries>,
    expired: Mono,
}

/// Stage `meter` on the board. A value is one operation or flow in one family.
#[derive(Debug)]
struct Counters {
    values: Counter,
    counted: Counter,
    overflow: Counter,
    lost: Counter,
    series: Counter,
}

/// The points of one family at one moment.
#[derive(Debug, Clone)]
pub struct FamilyPoints {
    /// Which family.
    pub family: &'static Family,
    /// Its whole name, prefix included.
    pub name: Arc<str>,
    /// Its labels; may be configured, so not always the family's own.
    pub labels: Arc<[Key]>,
    /// Attributes of the points' services that stand beside the labels, where there are no resources.
    pub resource: Arc<[Key]>,
    /// Upper bounds of the explicit buckets of every point here; may be configured too. None for sums.
    pub bounds: Arc<[f64]>,
    /// One per series, in no particular order.
    pub points: Vec<Point>,
}

impl Meter {
    /// A meter without series, which counts what it does as stage `meter`.
    #[must_use]
    pub fn new(config: MeterConfig, board: &Board) -> Arc<Self> {
        let count = |what| board.counter("meter", what);
        let counters = Counters {
            values: count("in"),
            counted: count("out"),
            overflow: count("overflow"),
            lost: count("lost.too_many_series"),
            series: count("series"),
        };
        Arc::new(Self { config, families: Mutex::default(), counters })
    }

    /// A stage that counts everything that passes it, and changes none.
    #[must_use]
    pub fn tap(self: &Arc<Self>) -> Tap {
        Tap(Arc::clone(self))
    }

    /// Counts `items`.
    pub fn record(&self, items: &[impl Measured], now: Mono) {
        let mut kept = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut own, mut overflow, mut lost) = (0, 0, 0);
        for item in items {
            for family in item.families().iter().copied() {
                if !self.config.groups.contains(&family.group) {
                    continue;
                }
                let series = kept.series_of(family, &self.config);
                match series.count(item, now, &self.config) {
                    Counted::Own => own += 1,
                    Counted::Overflow => overflow += 1,
                    Counted::Lost => lost += 1,
                    Counted::Nothing => {}
                }
            }
        }
        if now.since(kept.expired) > EXPIRY_INTERVAL {
            self.expire(&mut kept, now);
        }
        self.counters.values.add(own + overflow + lost);
        self.counters.counted.add(own + overflow);
        self.counters.overflow.add(overflow);
        self.counters.lost.add(lost);
    }

    /// Every series that is `wanted`, by the group of its family and the protocol ([`Measured::protocol`]) that began
    /// it, as it stands at `now`; families in the order in which they were first fed.
    #[must_use]
    pub fn snapshot(&self, now: Mono, wanted: &dyn Fn(Group, &str) -> bool) -> Vec<FamilyPoints> {
        let mut kept = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        self.expire(&mut kept, now);
        let families = kept.families.iter().map(|series| FamilyPoints {
            family: series.family,
            name: Arc::clone(&series.name),
            labels: Arc::clone(&series.labels),
            resource: Arc::clone(&series.resource),
            bounds: Arc::clone(&series.bounds),
            points: series.points(wanted),
        });
        families.filter(|family| !family.points.is_empty()).collect()
    }

    fn expire(&self, kept: &mut Kept, now: Mono) {
        kept.expired = now;
        let ttl = u64::try_from(self.config.ttl.as_nanos()).unwrap_or(u64::MAX);
        if ttl > 0 {
            let before = Mono(now.0.saturating_sub(ttl));
            kept.families.iter_mut().for_each(|series| series.expire(before));
        }
        let series: usize = kept.families.iter().map(FamilySeries::len).sum();
        self.counters.series.set(u64::try_from(series).unwrap_or(u64::MAX));
    }
}

impl MeterConfig {
    /// The explicit buckets of `family`; none when it is a sum.
    fn bounds(&self, family: &Family) -> Arc<[f64]> {
        let Instrument::Histogram(own) = family.instrument else { return Arc::default() };
        let configured = match family.unit {
            "s" => self.duration_buckets.as_deref(),
            "By" => self.size_buckets.as_deref(),
            _ => None,
        };
        configured.unwrap_or(own).into()
    }

    /// The whole name of `family`.
    fn name(&self, family: &Family) -> Arc<str> {
        if family.standard {
            family.name.into()
        } else {
            format!("{}.{}", self.prefix.as_str(), family.name).into()
        }
    }
}

impl Kept {
    fn series_of(&mut self, family: &'static Family, config: &MeterConfig) -> &mut FamilySeries {
        let known = self.families.iter().position(|kept| std::ptr::eq(kept.family, family));
        let at = known.unwrap_or_else(|| {
            self.families.push(FamilySeries::new(family, config));
            self.families.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "found or made in the lines above")]
        &mut self.families[at]
    }
}

/// The meter's place in a chain.
pub struct Tap(Arc<Meter>);

impl<T: Measured> Stage<T> for Tap {
    fn name(&self) -> &'static str {
        "meter"
    }

    fn apply(&mut self, batch: &mut Vec<T>) {
        self.0.record(batch, crate::now());
    }
}
