// SPDX-License-Identifier: Apache-2.0
//! The series of one family, found by service and label values without allocating.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use vor_model::{
    Attrs, Exemplar, Family, Group, Histogram, Instrument, Key, Measure, Mono, Number, Point,
    Service, Value,
};

use super::{Measured, MeterConfig, exponential};

/// Marks the series that takes what the others have no room for (OpenTelemetry metrics SDK, "Cardinality limits").
const OVERFLOW: Key = Key::new("otel.metric.overflow");

/// How many single operations a series remembers.
const MAX_EXEMPLARS: usize = 4;

/// All series of one family.
#[derive(Debug)]
pub(super) struct FamilySeries {
    pub(super) family: &'static Family,
    pub(super) name: Arc<str>,
    pub(super) labels: Arc<[Key]>,
    pub(super) resource: Arc<[Key]>,
    pub(super) bounds: Arc<[f64]>,
    series: HashTable<Series>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Series {
    service: Arc<Service>,
    /// In the family's order; `None` in `labels` marks the overflow series.
    labels: Option<Box<[Option<Value>]>>,
    protocol: &'static str,
    since: Mono,
    touched: Mono,
    number: Number,
    exemplars: Vec<Exemplar>,
}

/// What became of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// It is in the series of its labels.
    Own,
    /// It is in its service's overflow series.
    Overflow,
    /// There is no room even for that.
    Lost,
    /// The family measures something that the item does not have.
    Nothing,
}

/// Whose series, and which of them.
struct Wanted<'a> {
    service: &'a Arc<Service>,
    labels: Option<&'a [Option<Cow<'a, Value>>]>,
}

impl FamilySeries {
    pub(super) fn new(family: &'static Family, config: &MeterConfig) -> Self {
        let name = config.name(family);
        let labels = config.select.labels(family, &name, config.prefix, &config.shown).into();
        let resource = config.select.resource(family, &name, &config.resource).into();
        let (bounds, hasher) = (config.bounds(family), DefaultHashBuilder::default());
        Self { family, name, labels, resource, bounds, series: HashTable::new(), hasher }
    }

    /// Counts `item`; [`MeterConfig::max_series`] new series at most, and as many overflow series.
    pub(super) fn count<T: Measured>(
        &mut self,
        item: &T,
        now: Mono,
        config: &MeterConfig,
    ) -> Counted {
        let Some(value) = measured(self.family, item) else { return Counted::Nothing };
        let keys = Arc::clone(&self.labels);
        let values: SmallVec<[_; 12]> = keys.iter().map(|key| item.attribute(key)).collect();
        let service = item.service().unwrap_or(&config.host);
        let (max, at) = (config.max_series, Moment { now, value });
        if self.add(&Wanted { service, labels: Some(&values) }, item, at, max) {
            return Counted::Own;
        }
        if self.add(&Wanted { service, labels: None }, item, at, max.saturating_mul(2)) {
            return Counted::Overflow;
        }
        Counted::Lost
    }

    fn add<T: Measured>(&mut self, wanted: &Wanted<'_>, item: &T, at: Moment, max: usize) -> bool {
        let hash = wanted.hash(&self.hasher);
        if let Some(series) = self.series.find_mut(hash, |series| wanted.is(series)) {
            series.add(wanted.service, item, at, &self.bounds);
            return true;
        }
        if self.series.len() >= max {
            return false;
        }
        let number = match self.family.instrument {
            Instrument::Sum => Number::Sum(0),
            Instrument::Histogram(_) => Number::Histogram(Histogram {
                buckets: vec![0; self.bounds.len() + 1].into_boxed_slice(),
                exponential: exponential::empty(),
                ..Histogram::default()
            }),
        };
        let mut series = wanted.series(item.protocol(), number, at.now);
        series.add(wanted.service, item, at, &self.bounds);
        let hasher = &self.hasher;
        self.series.insert_unique(hash, series, |series| series.hash(hasher));
        true
    }

    /// Forgets the series that nothing was added to since `before`.
    pub(super) fn expire(&mut self, before: Mono) {
        self.series.retain(|series| series.touched >= before);
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// One point per series that is wanted.
    pub(super) fn points(&self, wanted: &dyn Fn(Group, &str) -> bool) -> Vec<Point> {
        let group = self.family.group;
        let series = self.series.iter().filter(|series| wanted(group, series.protocol));
        series.map(|series| series.point(&self.labels)).collect()
    }
}

impl Wanted<'_> {
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        let mut state = hasher.build_hasher();
        self.service.name.hash(&mut state);
        self.service.namespace.hash(&mut state);
        self.service.instance.hash(&mut state);
        for value in self.labels.into_iter().flatten() {
            hash_value(value.as_deref(), &mut state);
        }
        state.finish()
    }

    fn is(&self, series: &Series) -> bool {
        let labels = match (self.labels, series.labels.as_deref()) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a.as_deref(), b.as_ref()))
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        labels && same_service(self.service, &series.service)
    }

    fn series(&self, protocol: &'static str, number: Number, now: Mono) -> Series {
        let owned = |value: &Option<Cow<'_, Value>>| value.as_deref().cloned();
        let labels = self.labels.map(|values| values.iter().map(owned).collect());
        let service = Arc::clone(self.service);
        let (since, touched, exemplars) = (now, now, Vec::new());
        Series { service, labels, protocol, since, touched, number, exemplars }
    }
}

impl Series {
    /// Its hash as [`Wanted::hash`] makes it.
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        let values: Option<SmallVec<[_; 12]>> = self
            .labels
            .as_ref()
            .map(|values| values.iter().map(|value| value.as_ref().map(Cow::Borrowed)).collect());
        Wanted { service: &self.service, labels: values.as_deref() }.hash(hasher)
    }

    fn add<T: Measured>(&mut self, service: &Arc<Service>, item: &T, at: Moment, bounds: &[f64]) {
        self.touched = at.now;
        if !Arc::ptr_eq(&self.service, service) {
            // The same instance, of which more may be known by now.
            self.service = Arc::clone(service);
        }
        let value = match (&mut self.number, at.value) {
            (Number::Sum(sum), value) => {
                *sum = sum.saturating_add(value.whole());
                return;
            }
            (Number::Histogram(histogram), value) => {
                let value = value.real();
                histogram.count += 1;
                histogram.sum += value;
                let bucket = bounds.partition_point(|bound| *bound < value);
                if let Some(bucket) = histogram.buckets.get_mut(bucket) {
                    *bucket += 1;
                }
                exponential::count(&mut histogram.exponential, value);
                value
            }
        };
        if let Some(exemplar) = item.exemplar(value) {
            if self.exemplars.len() == MAX_EXEMPLARS {
                self.exemplars.remove(0);
            }
            self.exemplars.push(exemplar);
        }
    }

    fn point(&self, keys: &[Key]) -> Point {
        let labels = match &self.labels {
            Some(values) => {
                let pairs = keys.iter().zip(values);
                pairs.filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
            }
            None => Attrs::new().with(OVERFLOW, true),
        };
        Point {
            service: Arc::clone(&self.service),
            labels,
            since: self.since,
            number: self.number.clone(),
            exemplars: self.exemplars.clone(),
        }
    }
}

/// A value and when it was counted.
#[derive(Debug, Clone, Copy)]
struct Moment {
    now: Mono,
    value: Amount,
}

/// A value: finite and not negative.
#[derive(Debug, Clone, Copy)]
enum Amount {
    Whole(u64),
    Real(f64),
}

#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "distributions are floating point, where sizes above 2^53 lose their last digits; sums are of whole numbers"
)]
impl Amount {
    const fn whole(self) -> u64 {
        match self {
            Self::Whole(number) => number,
            Self::Real(number) => number as u64,
        }
    }

    const fn real(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

/// What `family` measures of `item`, if it has that. Nothing adds nothing to a sum.
fn measured<T: Measured>(family: &Family, item: &T) -> Option<Amount> {
    let amount = amount(&family.measure, item)?;
    let adds = amount.whole() > 0 || family.instrument != Instrument::Sum;
    adds.then_some(amount)
}

fn amount<T: Measured>(measure: &Measure, item: &T) -> Option<Amount> {
    match measure {
        Measure::Duration => Some(Amount::Real(item.duration().as_secs_f64())),
        Measure::Attribute(key) => match *item.attribute(key)? {
            Value::Int(number) => u64::try_from(number).ok().map(Amount::Whole),
            Value::Float(number) => {
                (number.is_finite() && number >= 0.0).then_some(Amount::Real(number))
            }
            Value::Word(_) | Value::Str(_) | Value::Bool(_) | Value::List(_) => None,
        },
    }
}

fn same_service(a: &Arc<Service>, b: &Arc<Service>) -> bool {
    Arc::ptr_eq(a, b)
        || (a.instance == b.instance && a.name == b.name && a.namespace == b.namespace)
}

/// Whether two label values read the same; text that is constant equals text that is not.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Values that are [`same`] hash alike.
fn hash_value(value: Option<&Value>, state: &mut impl Hasher) {
    match value {
        None => state.write_u8(0),
        Some(Value::Word(text)) => text.hash(state),
        Some(Value::Str(text)) => text.as_ref().hash(state),
        Some(Value::Int(number)) => number.hash(state),
        Some(Value::Float(number)) => number.to_bits().hash(state),
        Some(Value::Bool(yes)) => yes.hash(state),
        Some(Value::List(texts)) => texts.hash(state),
    }
}
