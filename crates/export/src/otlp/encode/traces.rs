// SPDX-License-Identifier: Apache-2.0
//! Spans as `ExportTraceServiceRequest`.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status};
use vor_model::{Clock, Interval, Kind, Service, Span, SpanId};

use super::{About, attributes};

/// `spans` by service, in their order.
pub(in crate::otlp) fn traces(
    spans: &[&Span],
    clock: &Clock,
    about: &About,
) -> ExportTraceServiceRequest {
    let mut services: Vec<(&Arc<Service>, Vec<ProtoSpan>)> = Vec::new();
    for span in spans {
        let known = services.iter_mut().rev();
        let known = known.into_iter().find(|(service, _)| Arc::ptr_eq(service, &span.service));
        let (encoded, parts) = (encoded(span, clock), parts(span, clock));
        if let Some((_, of_service)) = known {
            of_service.push(encoded);
            of_service.extend(parts);
        } else {
            let of_service = std::iter::once(encoded).chain(parts).collect();
            services.push((&span.service, of_service));
        }
    }
    let resource_spans = services.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Some(about.resource(service)),
        scope_spans: vec![ScopeSpans {
            scope: Some(about.scope()),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn encoded(span: &Span, clock: &Clock) -> ProtoSpan {
    let operation = &span.operation;
    ProtoSpan {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: span.flags.into(),
        name: operation.name.clone().into_owned(),
        kind: kind(operation.kind).into(),
        start_time_unix_nano: clock.unix_nanos(span.time.start),
        end_time_unix_nano: clock.unix_nanos(span.time.end),
        attributes: attributes(&operation.attrs),
        status: Some(status(&operation.status)),
        ..ProtoSpan::default()
    }
}

/// What a server's request went through, as children of its span: the wait for its handler, and the handler.
fn parts(span: &Span, clock: &Clock) -> impl Iterator<Item = ProtoSpan> + use<> {
    let part = |name: &str, mark: u8, time: Interval| ProtoSpan {
        trace_id: span.trace.0.to_vec(),
        span_id: part_id(span.id, mark).to_vec(),
        parent_span_id: span.id.0.to_vec(),
        flags: span.flags.into(),
        name: name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: clock.unix_nanos(time.start),
        end_time_unix_nano: clock.unix_nanos(time.end),
        ..ProtoSpan::default()
    };
    let Interval { start, end } = span.time;
    let parts = span.operation.handled.map(|handled| {
        let queue = Interval { start, end: handled };
        let processing = Interval { start: handled, end };
        [part("in queue", 1, queue), part("processing", 2, processing)]
    });
    parts.into_iter().flatten()
}

/// An id that follows from the span's, so that a request that is sent again is the same.
fn part_id(SpanId(mut id): SpanId, mark: u8) -> [u8; 8] {
    id.rotate_left(3);
    if let Some(last) = id.last_mut() {
        *last ^= mark;
    }
    id
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
        Kind::Internal => SpanKind::Internal,
    }
}

fn status(status: &vor_model::Status) -> Status {
    let (code, message) = match status {
        vor_model::Status::Unset => (StatusCode::Unset, String::new()),
        vor_model::Status::Ok => (StatusCode::Ok, String::new()),
        vor_model::Status::Error(why) => (StatusCode::Error, why.clone().into_owned()),
    };
    Status { message, code: code.into() }
}
