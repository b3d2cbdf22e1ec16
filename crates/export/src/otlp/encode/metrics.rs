// SPDX-License-Identifier: Apache-2.0
//! Points of the meter as `ExportMetricsServiceRequest`.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as ProtoExemplar, ExponentialHistogram,
    ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, exemplar, number_data_point,
};
use vor_model::{Clock, Exemplar, Family, Instrument, Mono, Number, Point, Service};
use vor_pipeline::FamilyPoints;

use super::{About, attributes};
use crate::otlp::config::{Aggregation, Temporality};

/// One series as it is to be sent.
#[derive(Debug, Clone)]
pub(in crate::otlp) struct Series {
    pub(in crate::otlp) family: &'static Family,
    /// Its whole name.
    pub(in crate::otlp) name: Arc<str>,
    /// Upper bounds of the explicit buckets.
    pub(in crate::otlp) bounds: Arc<[f64]>,
    pub(in crate::otlp) point: Point,
}

impl Series {
    /// All series of a family.
    pub(in crate::otlp) fn of(family: FamilyPoints) -> impl Iterator<Item = Self> {
        let FamilyPoints { family, name, bounds, points, .. } = family;
        points.into_iter().map(move |point| {
            let (name, bounds) = (Arc::clone(&name), Arc::clone(&bounds));
            Self { family, name, bounds, point }
        })
    }
}

/// The series of one service.
type ByFamily<'a> = Vec<(&'static Family, Vec<&'a Series>)>;

/// `series` by service and family, as they stood at `at`.
pub(in crate::otlp) fn metrics(
    series: &[&Series],
    at: Mono,
    clock: &Clock,
    about: &About,
    (aggregation, temporality): (Aggregation, Temporality),
) -> ExportMetricsServiceRequest {
    let temporality = match temporality {
        Temporality::Cumulative => AggregationTemporality::Cumulative,
        Temporality::Delta => AggregationTemporality::Delta,
    };
    let mut services: Vec<(&Service, ByFamily<'_>)> = Vec::new();
    for series in series {
        let service = &*series.point.service;
        let same = |(known, _): &&mut (&Service, _)| *known == service;
        if services.iter_mut().find(same).is_none() {
            services.push((service, Vec::new()));
        }
        let Some((_, families)) = services.iter_mut().find(same) else { continue };
        match families.iter_mut().find(|(known, _)| std::ptr::eq(*known, series.family)) {
            Some((_, of_family)) => of_family.push(series),
            None => families.push((series.family, vec![series])),
        }
    }
    let temporality = temporality.into();
    let metric = |(family, series): (&'static Family, Vec<&Series>)| Metric {
        name: series.first().map(|series| series.name.to_string()).unwrap_or_default(),
        description: family.help.to_owned(),
        unit: family.unit.to_owned(),
        data: Some(match (family.instrument, aggregation) {
            (Instrument::Sum, _) => Data::Sum(Sum {
                data_points: series.iter().filter_map(|one| sum(one, at, clock)).collect(),
                aggregation_temporality: temporality,
                is_monotonic: true,
            }),
            (Instrument::Histogram(_), Aggregation::Explicit) => Data::Histogram(Histogram {
                data_points: series.iter().filter_map(|one| explicit(one, at, clock)).collect(),
                aggregation_temporality: temporality,
            }),
            (Instrument::Histogram(_), Aggregation::Exponential) => {
                let points = series.iter().filter_map(|one| exponential(one, at, clock));
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: points.collect(),
                    aggregation_temporality: temporality,
                })
            }
        }),
        ..Metric::default()
    };
    let resource_metrics = services.into_iter().map(|(service, families)| ResourceMetrics {
        resource: Some(about.resource(service)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(about.scope()),
            metrics: families.into_iter().map(metric).collect(),
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
}

fn sum(series: &Series, at: Mono, clock: &Clock) -> Option<NumberDataPoint> {
    let Point { labels, since, number: Number::Sum(sum), .. } = &series.point else { return None };
    Some(NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: clock.unix_nanos(*since),
        time_unix_nano: clock.unix_nanos(at),
        value: Some(number_data_point::Value::AsInt(i64::try_from(*sum).unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    })
}

fn explicit(series: &Series, at: Mono, clock: &Clock) -> Option<HistogramDataPoint> {
    let Point { labels, since, number, exemplars, .. } = &series.point;
    let histogram = number.histogram()?;
    Some(HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: clock.unix_nanos(*since),
        time_unix_nano: clock.unix_nanos(at),
        count: histogram.count,
        sum: Some(histogram.sum),
        bucket_counts: histogram.buckets.to_vec(),
        explicit_bounds: series.bounds.to_vec(),
        exemplars: exemplars.iter().map(|exemplar| example(exemplar, clock)).collect(),
        ..HistogramDataPoint::default()
    })
}

fn exponential(series: &Series, at: Mono, clock: &Clock) -> Option<ExponentialHistogramDataPoint> {
    let Point { labels, since, number, exemplars, .. } = &series.point;
    let histogram = number.histogram()?;
    let buckets = &histogram.exponential;
    Some(ExponentialHistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: clock.unix_nanos(*since),
        time_unix_nano: clock.unix_nanos(at),
        count: histogram.count,
        sum: Some(histogram.sum),
        scale: buckets.scale.into(),
        zero_count: buckets.zeros,
        positive: Some(Buckets { offset: buckets.offset, bucket_counts: buckets.counts.clone() }),
        exemplars: exemplars.iter().map(|exemplar| example(exemplar, clock)).collect(),
        ..ExponentialHistogramDataPoint::default()
    })
}

fn example(exemplar: &Exemplar, clock: &Clock) -> ProtoExemplar {
    ProtoExemplar {
        time_unix_nano: clock.unix_nanos(exemplar.at),
        span_id: exemplar.span.0.to_vec(),
        trace_id: exemplar.trace.0.to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..ProtoExemplar::default()
    }
}
