// SPDX-License-Identifier: Apache-2.0
//! Spans and metrics → where people look at them. One folder per exporter; this file holds the list.
//!
//! In: batches from an [`Inbox`](vor_pipeline::Inbox) and snapshots of the meter. Out: bytes. An exporter knows
//! attributes, not protocols.

mod feature;
pub mod otlp;
pub mod print;
pub mod prometheus;

#[cfg(test)]
mod sample;

use vor_pipeline::{Exporter, Prefix};

pub use feature::Feature;

use otlp::{Otlp, OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig};
use print::{Output, Print, TracePrinter};
use prometheus::{Build, InternalMetricsConfig, Prometheus, PrometheusConfig};

/// Everything that exporters are set by.
pub struct Settings {
    /// `trace_printer`.
    pub trace_printer: TracePrinter,
    /// Where printed spans go.
    pub output: Output,
    /// `prometheus_export`.
    pub prometheus: PrometheusConfig,
    /// `internal_metrics`.
    pub internal_metrics: InternalMetricsConfig,
    /// `otel_export`.
    pub otlp: OtlpConfig,
    /// `otel_traces_export`.
    pub otlp_traces: OtlpTracesConfig,
    /// `otel_metrics_export`.
    pub otlp_metrics: OtlpMetricsConfig,
    /// `metrics.prefix`.
    pub prefix: Prefix,
    /// Which vor this is.
    pub build: Build,
}

/// Every exporter. Those that `settings` switch off say so when they are started.
#[must_use]
pub fn all(settings: Settings) -> Vec<Box<dyn Exporter>> {
    let Settings { trace_printer, output, prometheus, internal_metrics, .. } = settings;
    let Settings { otlp, otlp_traces, otlp_metrics, prefix, build, .. } = settings;
    vec![
        Box::new(Print::new(trace_printer, output)),
        Box::new(Prometheus::new(prometheus, internal_metrics, prefix, build)),
        Box::new(Otlp::new(otlp, otlp_traces, otlp_metrics, prefix, build)),
    ]
}
