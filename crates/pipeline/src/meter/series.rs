// SPDX-License-Identifier: Apache-2.0
//! The series of one family, found by service and label values without allocating.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use vor_model::{
    Attrs, Exemplar, Family, Histogram, Key, Measure, Mono, Point, Service, Span, Value,
};

use super::exponential;

/// Marks the series that takes what the others have no room for (OpenTelemetry metrics SDK, "Cardinality limits").
const OVERFLOW: Key = Key::new("otel.metric.overflow");

/// How many single operations a series remembers.
const MAX_EXEMPLARS: usize = 4;

/// All series of one family.
#[derive(Debug)]
pub(super) struct FamilySeries {
    pub(super) family: &'static Family,
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
    histogram: Histogram,
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
    /// The family measures something that the operation does not have.
    Nothing,
}

/// Whose series, and which of them.
struct Wanted<'a> {
    service: &'a Arc<Service>,
    labels: Option<&'a [Option<&'a Value>]>,
}

impl FamilySeries {
    pub(super) fn new(family: &'static Family, bounds: Arc<[f64]>) -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { family, bounds, series: HashTable::new(), hasher }
    }

    /// Counts `span`; `max_series` new series at most, and as many overflow series.
    pub(super) fn count(&mut self, span: &Span, now: Mono, max_series: usize) -> Counted {
        let Some(value) = measured(&self.family.measure, span) else { return Counted::Nothing };
        let attrs = &span.operation.attrs;
        let values: SmallVec<[_; 12]> =
            self.family.labels.iter().map(|key| attrs.get(key)).collect();
        let own = Wanted { service: &span.service, labels: Some(&values) };
        if self.add(&own, span, value, now, max_series) {
            return Counted::Own;
        }
        let overflow = Wanted { service: &span.service, labels: None };
        if self.add(&overflow, span, value, now, max_series.saturating_mul(2)) {
            return Counted::Overflow;
        }
        Counted::Lost
    }

    fn add(&mut self, wanted: &Wanted<'_>, span: &Span, value: f64, now: Mono, max: usize) -> bool {
        let hash = wanted.hash(&self.hasher);
        if let Some(series) = self.series.find_mut(hash, |series| wanted.is(series)) {
            series.add(span, value, &self.bounds, now);
            return true;
        }
        if self.series.len() >= max {
            return false;
        }
        let mut series = wanted.series(span.operation.protocol, self.bounds.len() + 1, now);
        series.add(span, value, &self.bounds, now);
        let hasher = &self.hasher;
        self.series
            .insert_unique(hash, series, |series| series.wanted(|wanted| wanted.hash(hasher)));
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

    /// One point per series that a wanted protocol began.
    pub(super) fn points(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Point> {
        let series = self.series.iter().filter(|series| wanted(series.protocol));
        series.map(|series| series.point(self.family)).collect()
    }
}

impl Wanted<'_> {
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        let mut state = hasher.build_hasher();
        self.service.name.hash(&mut state);
        self.service.namespace.hash(&mut state);
        self.service.instance.hash(&mut state);
        for value in self.labels.into_iter().flatten() {
            hash_value(*value, &mut state);
        }
        state.finish()
    }

    fn is(&self, series: &Series) -> bool {
        let labels = match (self.labels, series.labels.as_deref()) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, b.as_ref()))
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        labels && same_service(self.service, &series.service)
    }

    fn series(&self, protocol: &'static str, buckets: usize, now: Mono) -> Series {
        let labels = self.labels.map(|values| values.iter().map(|value| value.cloned()).collect());
        let histogram = Histogram {
            buckets: vec![0; buckets].into_boxed_slice(),
            exponential: exponential::empty(),
            ..Histogram::default()
        };
        let service = Arc::clone(self.service);
        let (since, touched, exemplars) = (now, now, Vec::new());
        Series { service, labels, protocol, since, touched, histogram, exemplars }
    }
}

impl Series {
    fn wanted<T>(&self, then: impl FnOnce(&Wanted<'_>) -> T) -> T {
        let values: Option<Vec<_>> =
            self.labels.as_ref().map(|values| values.iter().map(Option::as_ref).collect());
        then(&Wanted { service: &self.service, labels: values.as_deref() })
    }

    fn add(&mut self, span: &Span, value: f64, bounds: &[f64], now: Mono) {
        self.touched = now;
        if !Arc::ptr_eq(&self.service, &span.service) {
            // The same instance, of which more may be known by now.
            self.service = Arc::clone(&span.service);
        }
        self.histogram.count += 1;
        self.histogram.sum += value;
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.histogram.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        exponential::count(&mut self.histogram.exponential, value);
        if span.flags & 1 == 1 {
            if self.exemplars.len() == MAX_EXEMPLARS {
                self.exemplars.remove(0);
            }
            let at = span.time.end;
            self.exemplars.push(Exemplar { value, at, trace: span.trace, span: span.id });
        }
    }

    fn point(&self, family: &Family) -> Point {
        let labels = match &self.labels {
            Some(values) => {
                let pairs = family.labels.iter().zip(values);
                pairs.filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
            }
            None => Attrs::new().with(OVERFLOW, true),
        };
        Point {
            service: Arc::clone(&self.service),
            labels,
            since: self.since,
            histogram: self.histogram.clone(),
            exemplars: self.exemplars.clone(),
        }
    }
}

/// The value that `measure` finds in `span`: finite and not negative.
fn measured(measure: &Measure, span: &Span) -> Option<f64> {
    match measure {
        Measure::Duration => Some(span.time.duration().as_secs_f64()),
        Measure::Attribute(key) => match span.operation.attrs.get(key)? {
            #[allow(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                reason = "sums are floating point; sizes above 2^53 lose their last digits"
            )]
            Value::Int(number) => (*number >= 0).then_some(*number as f64),
            Value::Float(number) => (number.is_finite() && *number >= 0.0).then_some(*number),
            Value::Word(_) | Value::Str(_) | Value::Bool(_) => None,
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
    }
}
