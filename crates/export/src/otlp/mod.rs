// SPDX-License-Identifier: Apache-2.0
//! Traces and metrics → an OpenTelemetry collector, over gRPC or HTTP.
//!
//! In: spans from an inbox of its own, snapshots of the meter. Out: OTLP requests. Two tasks that know nothing of each
//! other; each has one request under way, tries it again as the receiver asks, and counts what it has to give up.

mod config;
mod deliver;
mod delta;
mod encode;
mod endpoint;
mod metrics;
mod sampler;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod transport;

use std::time::Duration;

use vor_health::Verdict;
use vor_pipeline::{Exporter, Prefix, Source, StartError, Task};

use crate::feature::Shown;
use crate::prometheus::Build;
pub use config::{
    Aggregation, Compression, OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig, Protocol,
    SamplerConfig, Temporality,
};
use deliver::{Backoff, Courier};
use encode::About;
pub use endpoint::Endpoint;
use endpoint::Target;
pub use sampler::SamplerName;
use transport::Transport;

/// Names of the two on the board.
pub(crate) const STAGES: [&str; 2] = [traces::STAGE, metrics::STAGE];

/// How long the end may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// The shortest time between two rounds of metrics.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// The exporter.
#[derive(Debug)]
pub struct Otlp {
    shared: OtlpConfig,
    traces: OtlpTracesConfig,
    metrics: OtlpMetricsConfig,
    about: About,
}

impl Otlp {
    /// Sends what `traces` and `metrics` ask for, where they or `shared` say.
    #[must_use]
    pub const fn new(
        shared: OtlpConfig,
        traces: OtlpTracesConfig,
        metrics: OtlpMetricsConfig,
        prefix: Prefix,
        build: Build,
    ) -> Self {
        let about = About { sdk: prefix.as_str(), version: build.version };
        Self { shared, traces, metrics, about }
    }

    fn start_traces(&self, from: &mut Source<'_>) -> Result<Option<Task>, StartError> {
        let config = &self.traces;
        let Some(target) = Target::traces(&self.shared, config).map_err(setting)? else {
            return Ok(None);
        };
        let backoff = Backoff {
            initial: config.backoff_initial_interval.get(),
            max: config.backoff_max_interval.get(),
            elapsed: config.backoff_max_elapsed_time.get(),
        };
        let courier =
            self.courier(traces::STAGE, "otel_traces_export.endpoint", target, backoff, from)?;
        let rules = traces::Rules {
            batch: config.max_export_batch_size.max(1),
            queue: config.max_queue_size.max(1),
            wait: config.batch_timeout.get(),
            instrumentations: config.instrumentations.clone(),
        };
        let packer = traces::Packer::new(rules, self.about, &from.board());
        let (closing, inbox) = (from.closing(), from.spans(traces::STAGE));
        Ok(Some(Box::pin(traces::run(inbox, closing, courier, packer))))
    }

    fn start_metrics(&self, from: &mut Source<'_>) -> Result<Option<Task>, StartError> {
        let config = &self.metrics;
        let Some(target) = Target::metrics(&self.shared, config).map_err(setting)? else {
            return Ok(None);
        };
        let shown = Shown::new(&config.features, &config.instrumentations, metrics::STAGE);
        if shown.is_empty() {
            return Ok(None);
        }
        let interval = config.interval.get().max(MIN_INTERVAL);
        // Later numbers make earlier ones superfluous: trying longer than until then is of no use.
        let backoff = Backoff { initial: interval / 8, max: interval, elapsed: interval };
        let courier =
            self.courier(metrics::STAGE, "otel_metrics_export.endpoint", target, backoff, from)?;
        let metrics = metrics::Metrics {
            meter: from.meter(),
            courier,
            rules: metrics::Rules {
                interval,
                shown,
                aggregation: config.histogram_aggregation,
                temporality: config.temporality,
            },
            about: self.about,
            deltas: delta::Deltas::default(),
            taken: from.board().counter(metrics::STAGE, "in"),
            too_large: from.board().counter(metrics::STAGE, "lost.too_large"),
        };
        Ok(Some(Box::pin(metrics.run(from.closing()))))
    }

    fn courier(
        &self,
        stage: &'static str,
        key: &'static str,
        target: Target,
        backoff: Backoff,
        from: &Source<'_>,
    ) -> Result<Courier, StartError> {
        let protocol = target.protocol;
        let transport = Transport::new(target, self.about.version)
            .map_err(|problem| StartError::Setting { key, problem })?;
        tracing::info!(unit = stage, endpoint = transport.uri(), %protocol, "sending");
        from.board().judge(stage, Verdict::Active);
        Ok(Courier::new(stage, from.board(), transport, backoff))
    }
}

fn setting((key, problem): endpoint::Fault) -> StartError {
    StartError::Setting { key, problem }
}

impl Exporter for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn start(self: Box<Self>, from: &mut Source<'_>) -> Result<Option<Task>, StartError> {
        let (traces, metrics) = (self.start_traces(from)?, self.start_metrics(from)?);
        Ok(match (traces, metrics) {
            (None, None) => None,
            (Some(task), None) | (None, Some(task)) => Some(task),
            (Some(traces), Some(metrics)) => Some(Box::pin(async move {
                tokio::join!(traces, metrics);
            })),
        })
    }
}
