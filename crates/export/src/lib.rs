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

use std::time::Duration;

use vor_pipeline::{Bounds, BucketsConfig, Exporter, MeterConfig, Prefix};

pub use feature::Feature;

use otlp::{Otlp, OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig};
use print::{Output, Print, PrintFlows, TracePrinter};
use prometheus::{Build, InternalMetricsConfig, Prometheus, PrometheusConfig};

/// Everything that exporters are set by.
pub struct Settings {
    /// `trace_printer`.
    pub trace_printer: TracePrinter,
    /// `network.print_flows`.
    pub print_flows: PrintFlows,
    /// Where printed spans and flows go.
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

impl Settings {
    /// `config` with what metric exporters say of the one meter of all of them: families that any of them wants, each
    /// series as long as any wants it, buckets as the first says that says something.
    #[must_use]
    pub fn meter(&self, config: MeterConfig) -> MeterConfig {
        let otlp = self.otlp.endpoint.is_some() || self.otlp_metrics.endpoint.is_some();
        let (prometheus, otlp) = (
            (self.prometheus.port != 0).then_some((
                self.prometheus.ttl,
                &self.prometheus.buckets,
                &self.prometheus.features,
            )),
            otlp.then_some((
                self.otlp_metrics.ttl,
                &self.otlp_metrics.buckets,
                &self.otlp_metrics.features,
            )),
        );
        let used: Vec<_> = [prometheus, otlp].into_iter().flatten().collect();
        let bounds = |of: fn(&BucketsConfig) -> Option<&Bounds>| {
            let mut said = used.iter().filter_map(|(_, buckets, _)| of(buckets));
            let first = said.next();
            if said.any(|other| Some(other) != first) {
                tracing::warn!(
                    "both metric exporters set buckets, those of prometheus_export hold"
                );
            }
            first.map(|bounds| bounds.as_slice().to_vec())
        };
        let duration_buckets = bounds(|buckets| buckets.duration_histogram.as_ref());
        let size_buckets = bounds(|buckets| buckets.request_size_histogram.as_ref());
        // Zero means for ever.
        let ttls = used.iter().map(|(ttl, _, _)| ttl.get());
        let ttl = ttls.max_by_key(|ttl| if ttl.is_zero() { Duration::MAX } else { *ttl });
        let features = used.iter().flat_map(|(_, _, features)| *features);
        let groups = features.flat_map(|feature| feature.groups()).copied().collect();
        let (ttl, prefix) = (ttl.unwrap_or(config.ttl), self.prefix);
        MeterConfig { ttl, groups, prefix, duration_buckets, size_buckets, ..config }
    }
}

/// Every exporter. Those that `settings` switch off say so when they are started.
#[must_use]
pub fn all(settings: Settings) -> Vec<Box<dyn Exporter>> {
    let Settings { trace_printer, print_flows, output, prometheus, internal_metrics, .. } =
        settings;
    let Settings { otlp, otlp_traces, otlp_metrics, prefix, build, .. } = settings;
    vec![
        Box::new(Print::new(trace_printer, print_flows, output)),
        Box::new(Prometheus::new(prometheus, internal_metrics, prefix, build)),
        Box::new(Otlp::new(otlp, otlp_traces, otlp_metrics, prefix, build)),
    ]
}

#[cfg(test)]
mod tests {
    use confique::Config;
    use vor_model::Group;

    use super::*;

    fn settings() -> Settings {
        Settings {
            trace_printer: TracePrinter::Disabled,
            print_flows: PrintFlows::No,
            output: Output::plain(std::io::sink()),
            prometheus: PrometheusConfig::builder().load().unwrap(),
            internal_metrics: InternalMetricsConfig::builder().load().unwrap(),
            otlp: OtlpConfig::builder().load().unwrap(),
            otlp_traces: OtlpTracesConfig::builder().load().unwrap(),
            otlp_metrics: OtlpMetricsConfig::builder().load().unwrap(),
            prefix: Prefix::Beyla,
            build: Build { version: "", revision: "" },
        }
    }

    #[test]
    fn the_meter_serves_the_exporters_that_are_on() {
        let mut settings = settings();
        settings.otlp_metrics.ttl = Duration::from_secs(9_000).into();
        settings.prometheus.buckets.duration_histogram = Some(vec![1.0].try_into().unwrap());
        settings.otlp_metrics.buckets.duration_histogram = Some(vec![2.0].try_into().unwrap());
        let meter = |settings: &Settings| settings.meter(MeterConfig::default());
        let off = meter(&settings);
        assert_eq!((off.ttl, off.groups), (MeterConfig::default().ttl, vec![]));
        assert_eq!(off.duration_buckets, None);
        settings.otlp.endpoint = Some("http://c:4318".to_owned().try_into().unwrap());
        settings.otlp_metrics.features.push(Feature::NetworkInterZone);
        let otlp = meter(&settings);
        assert_eq!(otlp.groups, [Group::Application, Group::InterZone]);
        assert_eq!(
            (otlp.ttl, otlp.duration_buckets),
            (Duration::from_secs(9_000), Some(vec![2.0]))
        );
        settings.prometheus.port = 9090;
        let both = meter(&settings);
        assert_eq!(
            (both.ttl, both.duration_buckets),
            (Duration::from_secs(9_000), Some(vec![1.0]))
        );
        settings.prometheus.ttl = Duration::ZERO.into();
        assert_eq!(meter(&settings).ttl, Duration::ZERO, "for ever");
    }

    #[test]
    fn without_settings_nothing_is_exported() {
        let board = vor_health::Board::new();
        let meter = vor_pipeline::Meter::new(MeterConfig::default(), &board);
        let mut spans = vor_pipeline::Outlet::new(1, board.clone());
        let mut flows = vor_pipeline::Outlet::new(1, board.clone());
        let mut source = vor_pipeline::Source::new(&mut spans, &mut flows, meter, board);
        for exporter in all(settings()) {
            let name = exporter.name();
            assert!(exporter.start(&mut source).unwrap().is_none(), "{name}");
        }
    }
}
