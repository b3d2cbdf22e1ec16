// SPDX-License-Identifier: Apache-2.0
//! The same spans in every form: OTLP over both transports, Prometheus text, JSON lines.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::observed_epoll;
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::scrape::{self, Sample};
use crate::until::until;
use crate::vor::Settings;
use crate::web::{self, Talk};

/// Fields of one JSON line, as Beyla names them.
const JSON_FIELDS: [&str; 16] = [
    "type",
    "peer",
    "peerPort",
    "host",
    "hostPort",
    "traceID",
    "spanID",
    "parentSpanID",
    "flags",
    "kind",
    "start",
    "end",
    "durationUSec",
    "attributes",
    "service",
    "language",
];

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("otlp-grpc", |scene| otlp(scene, "grpc")).smoke(),
        Scenario::new("otlp-http", |scene| otlp(scene, "http/protobuf")).smoke(),
        Scenario::new("prometheus-page", prometheus_page).smoke(),
        Scenario::new("json-lines", json_lines),
    ]
}

/// An observed server that answered ten requests.
fn ten(scene: &mut Scene<'_>, settings: &Settings) -> Result<u16> {
    let port = observed_epoll(scene, settings)?;
    let mut talk = Talk::to(port)?;
    for n in 0..10 {
        ensure!(talk.get(&format!("/item/{n}"))?.status == 200, "it is answered");
    }
    Ok(port)
}

fn otlp(scene: &mut Scene<'_>, protocol: &str) -> Result<Expected> {
    let port = if protocol == "grpc" { scene.collector.grpc } else { scene.collector.http };
    let settings = Settings::default()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "x-team=green");
    ten(scene, &settings)?;
    let spans = scene.spans(10)?;
    for span in &spans {
        ensure!(
            span.trace.len() == 32 && span.trace != "0".repeat(32),
            "trace id {:?}",
            span.trace
        );
        ensure!(span.id.len() == 16 && span.start_ns > 0, "span id {:?}", span.id);
    }
    until("ten requests in the metrics", scene.limit(), || {
        let arrived = scene.collector.arrived();
        let named = arrived.points.iter().filter(|p| p.name == "http.server.request.duration");
        // The last point of a series says all.
        let series: BTreeMap<_, _> = named.map(|p| (p.attrs.clone(), p.count)).collect();
        Ok(series.values().sum::<u64>() == 10)
    })?;
    let headers = &scene.collector.arrived().headers;
    ensure!(headers.iter().any(|line| line == "x-team: green"), "the header is missing");
    ensure!(headers.iter().any(|line| line.ends_with("-encoding: gzip")), "nothing was compressed");
    Ok(Expected::server(10))
}

fn prometheus_page(scene: &mut Scene<'_>) -> Result<Expected> {
    ten(scene, &Settings::default())?;
    scene.spans(10)?;
    let page = scene.page()?;
    let samples = scrape::parse(&page)?;
    let named = |name: &str| samples.iter().filter(|s| s.name == name).collect::<Vec<_>>();
    let count = named("http_server_request_duration_seconds_count");
    let first = count.first().context("no series of durations")?;
    let shown: Vec<_> = ["http_request_method", "http_response_status_code", "service_name"]
        .map(|name| first.label(name))
        .into();
    ensure!(shown == ["GET", "200", "epoll"], "the labels are {shown:?}");
    let buckets = named("http_server_request_duration_seconds_bucket");
    ensure_histogram(&buckets, first)?;
    for name in ["target_info", "beyla_build_info", "http_server_request_body_size_bytes_count"] {
        ensure!(!named(name).is_empty(), "{name} is missing");
    }
    ensure!(page.contains("# TYPE http_server_request_duration_seconds histogram"), "no type");
    Ok(Expected::server(10))
}

/// Buckets never fall, and the last one counts everything.
fn ensure_histogram(buckets: &[&Sample], count: &Sample) -> Result<()> {
    let of_series = buckets.iter().filter(|bucket| {
        count.labels.iter().all(|(name, value)| bucket.labels.get(name) == Some(value))
    });
    let values: Vec<_> = of_series.map(|bucket| bucket.value).collect();
    ensure!(values.is_sorted(), "buckets fall: {values:?}");
    ensure!(values.last() == Some(&count.value), "{values:?} do not end with {}", count.value);
    Ok(())
}

fn json_lines(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ten(scene, &Settings::default().with("BEYLA_TRACE_PRINTER", "json"))?;
    scene.printed(10)?;
    let output = scene.vor()?.output()?;
    ensure!(output.lines().count() == 10, "ten lines");
    for line in output.lines() {
        let span: serde_json::Value = serde_json::from_str(line).context("a line is not JSON")?;
        for field in JSON_FIELDS {
            ensure!(span.get(field).is_some(), "{field} is missing in {line}");
        }
        let text = |path: &str| span.pointer(path).and_then(|v| v.as_str()).unwrap_or_default();
        ensure!(text("/type") == "HTTP" && text("/kind") == "SPAN_KIND_SERVER", "{line}");
        ensure!(text("/hostPort") == port.to_string(), "the port is {}", text("/hostPort"));
        ensure!(text("/attributes/status") == "200", "{line}");
    }
    // A window on the other exporters: the closing account compares them.
    web::get(port, "/last")?;
    Ok(Expected::server(11))
}
