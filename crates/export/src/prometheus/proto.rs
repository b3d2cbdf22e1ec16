// SPDX-License-Identifier: Apache-2.0
//! The protobuf format: length-delimited `io.prometheus.client.MetricFamily`, with native histograms.
//!
//! Numbers and types of the fields are those of `metrics.proto` in the `client_model` repository of the Prometheus project;
//! fields that we do not fill are left out.

use prost::Message;
use vor_model::{Clock, Exponential, Mono};

use super::families::{Family, Kind, Metric, Number, newest_in};

/// The finest resolution that Prometheus knows.
const MAX_SCHEMA: i8 = 8;
/// The coarsest one. 160 buckets of it cover every `f64`, so our histograms never need a coarser one.
const MIN_SCHEMA: i8 = -4;

#[derive(Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<OneMetric>,
    #[prost(string, optional, tag = "5")]
    unit: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Message)]
struct OneMetric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Single>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Single>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[derive(Message)]
struct Single {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_deltas: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    created: Option<Timestamp>,
    #[prost(message, repeated, tag = "16")]
    exemplars: Vec<Exemplar>,
}

#[derive(Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
}

#[derive(Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

#[derive(Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    at: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Writes `families` down.
pub(super) fn encode(families: &[Family], clock: &Clock) -> Vec<u8> {
    let mut page = Vec::new();
    for family in families {
        page.extend(convert(family, clock).encode_length_delimited_to_vec());
    }
    page
}

fn convert(family: &Family, clock: &Clock) -> MetricFamily {
    let name = &family.name;
    let (kind, name, unit) = match family.kind {
        Kind::Counter => (MetricType::Counter, format!("{name}_total"), ""),
        Kind::Gauge => (MetricType::Gauge, name.clone(), ""),
        Kind::Info => (MetricType::Gauge, format!("{name}_info"), ""),
        Kind::Histogram { unit, .. } => (MetricType::Histogram, name.clone(), unit),
    };
    MetricFamily {
        name: Some(name),
        help: Some(family.help.clone()),
        kind: Some(kind.into()),
        metrics: family.metrics.iter().map(|metric| one(family, metric, clock)).collect(),
        unit: (!unit.is_empty()).then(|| unit.to_owned()),
    }
}

fn one(family: &Family, metric: &Metric, clock: &Clock) -> OneMetric {
    let own =
        family.labels.iter().map(String::as_str).zip(metric.labels.iter().map(String::as_str));
    let labels = own.chain(metric.mark).map(|(name, value)| label(name, value)).collect();
    let mut one = OneMetric { labels, gauge: None, counter: None, histogram: None };
    match (&metric.number, &family.kind) {
        (Number::Single(value), Kind::Counter) => {
            one.counter = Some(Single { value: Some(*value) });
        }
        (Number::Single(value), _) => one.gauge = Some(Single { value: Some(*value) }),
        (Number::Distribution { histogram, since, exemplars }, kind) => {
            let made = distribution(histogram, kind, exemplars, clock);
            let created = Some(timestamp(*since, clock));
            one.histogram = Some(Histogram { created, ..made });
        }
    }
    one
}

/// Explicit and native buckets side by side, as Prometheus may be configured to take either.
fn distribution(
    from: &vor_model::Histogram,
    kind: &Kind,
    exemplars: &[vor_model::Exemplar],
    clock: &Clock,
) -> Histogram {
    let bounds: &[f64] = if let Kind::Histogram { bounds, .. } = kind { bounds } else { &[] };
    let (mut total, mut below) = (0, f64::NEG_INFINITY);
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    let buckets = bounds.zip(&from.buckets).map(|(bound, count)| {
        total += count;
        // Servers that know nothing of exemplars of native histograms look for them here.
        let exemplar = newest_in(exemplars, below, bound).map(|found| exemplar(found, clock));
        below = bound;
        Bucket { cumulative_count: Some(total), upper_bound: Some(bound), exemplar }
    });
    let buckets = buckets.collect();
    let native = Native::new(&from.exponential);
    Histogram {
        sample_count: Some(from.count),
        sample_sum: Some(from.sum),
        buckets,
        schema: Some(native.schema.into()),
        zero_threshold: Some(0.0),
        zero_count: Some(from.exponential.zeros),
        // A span of length 0 marks a native histogram that has no buckets yet.
        positive_spans: vec![BucketSpan {
            offset: Some(native.offset),
            length: Some(u32::try_from(native.counts.len()).unwrap_or_default()),
        }],
        positive_deltas: native.deltas(),
        created: None,
        exemplars: exemplars.iter().map(|found| exemplar(found, clock)).collect(),
    }
}

/// Exponential buckets as Prometheus counts them: bucket `i` ends, not begins, at `base^i`.
struct Native {
    schema: i8,
    offset: i32,
    counts: Vec<u64>,
}

impl Native {
    fn new(from: &Exponential) -> Self {
        let schema = from.scale.clamp(MIN_SCHEMA, MAX_SCHEMA);
        let halvings = (from.scale - schema).max(0);
        let Some(last) = from.counts.len().checked_sub(1) else {
            return Self { schema, offset: 0, counts: Vec::new() };
        };
        let last = from.offset + i32::try_from(last).unwrap_or_default();
        let offset = from.offset >> halvings;
        let width = usize::try_from((last >> halvings) - offset + 1).unwrap_or_default();
        let mut counts = vec![0; width];
        for (index, count) in (from.offset..).zip(&from.counts) {
            let at = usize::try_from((index >> halvings) - offset).unwrap_or_default();
            if let Some(bucket) = counts.get_mut(at) {
                *bucket += count;
            }
        }
        Self { schema, offset: offset + 1, counts }
    }

    /// Each count less the one before it.
    fn deltas(&self) -> Vec<i64> {
        let mut before = 0_i64;
        let counts = self.counts.iter().map(|count| i64::try_from(*count).unwrap_or(i64::MAX));
        counts.map(|count| count - std::mem::replace(&mut before, count)).collect()
    }
}

fn exemplar(from: &vor_model::Exemplar, clock: &Clock) -> Exemplar {
    let labels =
        vec![label("trace_id", &from.trace.to_string()), label("span_id", &from.span.to_string())];
    Exemplar { labels, value: Some(from.value), at: Some(timestamp(from.at, clock)) }
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

fn timestamp(at: Mono, clock: &Clock) -> Timestamp {
    let nanos = clock.unix_nanos(at);
    Timestamp {
        seconds: i64::try_from(nanos / 1_000_000_000).unwrap_or_default(),
        nanos: i32::try_from(nanos % 1_000_000_000).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{neutral, shown};
    use super::*;
    use crate::sample::{clock, golden};

    #[test]
    fn families_are_delimited_and_hold_native_histograms() {
        let mut page = &encode(&shown(), &clock())[..];
        let mut read = String::new();
        while !page.is_empty() {
            read += &describe(&MetricFamily::decode_length_delimited(&mut page).unwrap());
        }
        golden("prometheus/golden/page.protobuf.txt", &neutral(&read));
    }

    /// What was read, without the noise.
    fn describe(family: &MetricFamily) -> String {
        let metrics = family.metrics.iter().map(|metric| {
            let labels = metric.labels.iter().map(|label| {
                format!(" {}={:?}", label.name.as_deref().unwrap(), label.value.as_deref().unwrap())
            });
            let labels: String = labels.collect();
            let OneMetric { gauge, counter, histogram, .. } = metric;
            format!(" {labels}\n    {gauge:?} {counter:?}\n    {histogram:?}\n")
        });
        let metrics: String = metrics.collect();
        let text = format!("{:?} {:?} {:?}\n{metrics}", family.name, family.kind(), family.unit);
        text.replace("Some(", "(")
    }

    #[test]
    fn native_buckets_count_the_same_values_one_place_higher() {
        let counts = vec![1, 2, 0, 4, 5, 6];
        let native = Native::new(&Exponential { scale: 10, zeros: 0, offset: -3, counts });
        // Indices -3 to 2 at scale 10 are -1, -1, -1, 0, 0, 0 at scale 8, whose ends are 0 and 1.
        assert_eq!((native.schema, native.offset, &native.counts[..]), (8, 0, &[3, 15][..]));
        assert_eq!(native.deltas(), [3, 12]);
    }
}
