// SPDX-License-Identifier: Apache-2.0
//! OTLP requests as flat lists, each item with the name of its service.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span as Wire, span::SpanKind};

/// Attributes as text.
pub type Attrs = BTreeMap<String, String>;

/// A span that arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// Attributes of its resource.
    pub resource: Attrs,
    /// Name.
    pub name: String,
    /// Whether it is a server span; otherwise a client span.
    pub server: bool,
    /// Kind, as OTLP names it.
    pub kind: SpanKind,
    /// Status code: 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// Attributes.
    pub attrs: Attrs,
    /// Trace id, hexadecimal.
    pub trace: String,
    /// Span id, hexadecimal.
    pub id: String,
    /// Id of the parent, hexadecimal; empty for none.
    pub parent: String,
    /// Start, ns since the epoch.
    pub start_ns: u64,
    /// How long it took.
    pub time: Duration,
}

impl Span {
    /// The value of an attribute; empty when there is none of that name.
    #[must_use]
    pub fn attr(&self, name: &str) -> &str {
        self.attrs.get(name).map_or("", String::as_str)
    }

    /// Name of its service.
    #[must_use]
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }
}

/// A point of a metric.
#[derive(Debug, Clone)]
pub struct Point {
    /// Attributes of its resource.
    pub resource: Attrs,
    /// Name of the metric.
    pub name: String,
    /// Attributes of the point.
    pub attrs: Attrs,
    /// How many values; 1 for a plain number.
    pub count: u64,
    /// Their sum, or the plain number.
    pub sum: f64,
}

pub(super) fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for group in request.resource_spans {
        let resource = resource_attrs(group.resource);
        let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| flat(span, &resource)));
    }
    all
}

fn flat(span: Wire, resource: &Attrs) -> Span {
    let kind = span.kind();
    Span {
        resource: resource.clone(),
        server: kind == SpanKind::Server,
        kind,
        status: span.status.map_or(0, |status| status.code),
        attrs: attrs(span.attributes),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        start_ns: span.start_time_unix_nano,
        time: Duration::from_nanos(
            span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        ),
        name: span.name,
    }
}

pub(super) fn points(request: ExportMetricsServiceRequest) -> Vec<Point> {
    let mut all = Vec::new();
    for group in request.resource_metrics {
        let resource = resource_attrs(group.resource);
        for metric in group.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            all.extend(of_metric(metric, &resource));
        }
    }
    all
}

fn of_metric(metric: Metric, resource: &Attrs) -> Vec<Point> {
    let name = metric.name;
    let point = |list, count, sum| Point {
        resource: resource.clone(),
        name: name.clone(),
        attrs: attrs(list),
        count,
        sum,
    };
    let number = |p: NumberDataPoint| point(p.attributes, 1, plain(p.value));
    match metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.into_iter().map(number).collect(),
        Some(Data::Sum(sum)) => sum.data_points.into_iter().map(number).collect(),
        Some(Data::Histogram(histogram)) => {
            let points = histogram.data_points.into_iter();
            points.map(|p| point(p.attributes, p.count, p.sum.unwrap_or(0.0))).collect()
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            let points = histogram.data_points.into_iter();
            points.map(|p| point(p.attributes, p.count, p.sum.unwrap_or(0.0))).collect()
        }
        Some(Data::Summary(_)) | None => Vec::new(),
    }
}

#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "test numbers are far below 2^53"
)]
fn plain(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

fn resource_attrs(resource: Option<Resource>) -> Attrs {
    attrs(resource.map(|resource| resource.attributes).unwrap_or_default())
}

fn attrs(list: Vec<KeyValue>) -> Attrs {
    list.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::ArrayValue(list)) => {
            let texts: Vec<_> = list.values.into_iter().map(|value| text(Some(value))).collect();
            format!("{texts:?}")
        }
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
