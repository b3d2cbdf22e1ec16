// SPDX-License-Identifier: Apache-2.0
//! Settings of the OTLP exporters: what both share, traces, metrics.
//!
//! What a signal sets for itself wins over what both share; headers are merged, name by name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use vor_config::{Duration, Secret};
use vor_pipeline::BucketsConfig;

use super::endpoint::Endpoint;
use super::sampler::SamplerName;
use crate::Feature;

/// What the exporters of traces and of metrics share (`otel_export`).
#[derive(Debug, Clone, confique::Config)]
pub struct OtlpConfig {
    /// Where traces and metrics go, such as `http://localhost:4318`; over HTTP, `/v1/traces` and `/v1/metrics` are
    /// added. Not set: nowhere.
    #[config(env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub endpoint: Option<Endpoint>,
    /// How: `grpc` or `http/protobuf`. Not set: by the port, 4317 means `grpc`, any other `http/protobuf`.
    #[config(env = "OTEL_EXPORTER_OTLP_PROTOCOL")]
    pub protocol: Option<Protocol>,
    /// Headers of each request; values may be percent-encoded.
    #[config(env = "OTEL_EXPORTER_OTLP_HEADERS")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// How long one request may take.
    #[config(default = "10s", env = "OTEL_EXPORTER_OTLP_TIMEOUT")]
    pub timeout: Duration,
    /// Compression of requests: `none` or `gzip`.
    #[config(default = "none", env = "OTEL_EXPORTER_OTLP_COMPRESSION")]
    pub compression: Compression,
    /// PEM file of the certificates that sign the receiver's. Not set: those of the system.
    #[config(env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
    /// PEM file of the certificate shown to the receiver.
    #[config(env = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")]
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[config(env = "OTEL_EXPORTER_OTLP_CLIENT_KEY")]
    pub client_key: Option<PathBuf>,
    /// Whether an endpoint without a scheme is spoken to in clear text.
    #[config(default = false, env = "OTEL_EXPORTER_OTLP_INSECURE")]
    pub insecure: bool,
}

/// Traces for an OpenTelemetry collector (`otel_traces_export`).
#[derive(Debug, Clone, confique::Config)]
pub struct OtlpTracesConfig {
    /// Where traces go; over HTTP with its path, or to `/v1/traces` when it has none.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")]
    pub endpoint: Option<Endpoint>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")]
    pub protocol: Option<Protocol>,
    /// As in `otel_export`, added to those.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION")]
    pub compression: Option<Compression>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE")]
    pub client_certificate: Option<PathBuf>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY")]
    pub client_key: Option<PathBuf>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_TRACES_INSECURE")]
    pub insecure: Option<bool>,
    /// Takes any certificate for the receiver's.
    #[config(default = false, env = "INSECURE_SKIP_VERIFY|BEYLA_OTEL_INSECURE_SKIP_VERIFY")]
    pub insecure_skip_verify: bool,
    /// Protocols whose operations are exported, by name; `*` stands for all of them.
    #[config(
        default = ["*"],
        env = "TRACES_INSTRUMENTATIONS|BEYLA_OTEL_TRACES_INSTRUMENTATIONS"
    )]
    pub instrumentations: Vec<String>,
    /// Which traces are exported.
    #[config(nested)]
    pub sampler: SamplerConfig,
    /// Spans per request, at least 1.
    #[config(default = 4096, env = "OTLP_TRACES_MAX_EXPORT_BATCH_SIZE")]
    pub max_export_batch_size: usize,
    /// Spans that may wait for the receiver, at least 1, beside those in the inbox (`spans.inbox`).
    #[config(default = 4096, env = "OTLP_TRACES_MAX_QUEUE_SIZE")]
    pub max_queue_size: usize,
    /// How long a span waits for others to go with.
    #[config(default = "1s", env = "OTLP_TRACES_BATCH_TIMEOUT")]
    pub batch_timeout: Duration,
    /// How long to wait before a request is tried again for the first time; twice as long each further time.
    #[config(default = "1s", env = "BACKOFF_INITIAL_INTERVAL")]
    pub backoff_initial_interval: Duration,
    /// The longest wait.
    #[config(default = "30s", env = "BACKOFF_MAX_INTERVAL")]
    pub backoff_max_interval: Duration,
    /// How long a request is tried until its spans are given up.
    #[config(default = "5m", env = "BACKOFF_MAX_ELAPSED_TIME")]
    pub backoff_max_elapsed_time: Duration,
}

/// Which traces are exported (`otel_traces_export.sampler`). Metrics count all of them.
#[derive(Debug, Clone, confique::Config)]
pub struct SamplerConfig {
    /// `always_on`, `always_off`, `traceidratio`, or one of them with `parentbased_` in front, which asks the
    /// caller's flags first.
    #[config(default = "parentbased_always_on", env = "OTEL_TRACES_SAMPLER")]
    pub name: SamplerName,
    /// For `traceidratio`: the part of all traces that is exported, 0 to 1.
    #[config(default = 1.0, env = "OTEL_TRACES_SAMPLER_ARG")]
    pub arg: f64,
}

/// Metrics for an OpenTelemetry collector (`otel_metrics_export`).
#[derive(Debug, Clone, confique::Config)]
pub struct OtlpMetricsConfig {
    /// Where metrics go; over HTTP with its path, or to `/v1/metrics` when it has none.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")]
    pub endpoint: Option<Endpoint>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")]
    pub protocol: Option<Protocol>,
    /// As in `otel_export`, added to those.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_HEADERS")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION")]
    pub compression: Option<Compression>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE")]
    pub client_certificate: Option<PathBuf>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY")]
    pub client_key: Option<PathBuf>,
    /// As in `otel_export`.
    #[config(env = "OTEL_EXPORTER_OTLP_METRICS_INSECURE")]
    pub insecure: Option<bool>,
    /// Takes any certificate for the receiver's.
    #[config(default = false, env = "INSECURE_SKIP_VERIFY|BEYLA_OTEL_INSECURE_SKIP_VERIFY")]
    pub insecure_skip_verify: bool,
    /// How often metrics are sent, at least 10 ms.
    #[config(default = "60s", env = "METRICS_INTERVAL|OTEL_METRIC_EXPORT_INTERVAL")]
    pub interval: Duration,
    /// What a number counts from: `cumulative` from the beginning, `delta` and `lowmemory` from the last time.
    #[config(default = "cumulative", env = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")]
    pub temporality: Temporality,
    /// How histograms are written: `explicit_bucket_histogram` or `base2_exponential_bucket_histogram`.
    #[config(
        default = "explicit_bucket_histogram",
        env = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    )]
    pub histogram_aggregation: Aggregation,
    /// Bounds of histogram buckets.
    #[config(nested)]
    pub buckets: BucketsConfig,
    /// Groups of metrics.
    #[config(
        default = ["application"],
        env = "METRICS_FEATURES|BEYLA_OTEL_METRICS_FEATURES|BEYLA_OTEL_METRIC_FEATURES"
    )]
    pub features: Vec<Feature>,
    /// Protocols whose operations are measured, by name; `*` stands for all of them.
    #[config(
        default = ["*"],
        env = "METRICS_INSTRUMENTATIONS|BEYLA_OTEL_METRICS_INSTRUMENTATIONS"
    )]
    pub instrumentations: Vec<String>,
    /// A series without news for longer is forgotten.
    #[config(default = "70m", env = "METRICS_TTL|BEYLA_OTEL_METRICS_TTL")]
    pub ttl: Duration,
}

/// How the receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP/HTTP in protobuf. `http/json` is understood and means the same, as in Beyla.
    #[serde(rename = "http/protobuf", alias = "http/json")]
    Http,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        })
    }
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
}

/// What a number counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Temporality {
    /// The beginning of its series.
    #[serde(rename = "cumulative", alias = "CUMULATIVE", alias = "Cumulative")]
    Cumulative,
    /// The last time it was sent; `lowmemory` asks for the same of histograms, and vor has nothing else.
    #[serde(
        rename = "delta",
        alias = "DELTA",
        alias = "Delta",
        alias = "lowmemory",
        alias = "LOWMEMORY",
        alias = "LowMemory"
    )]
    Delta,
}

/// How a histogram is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Aggregation {
    /// Counts between given bounds.
    #[serde(rename = "explicit_bucket_histogram")]
    Explicit,
    /// Counts between powers of a base that fits the values.
    #[serde(rename = "base2_exponential_bucket_histogram")]
    Exponential,
}

#[cfg(test)]
mod tests {
    use vor_config::Sources;

    use super::*;

    #[derive(confique::Config)]
    struct Root {
        #[config(nested)]
        shared: OtlpConfig,
        #[config(nested)]
        traces: OtlpTracesConfig,
        #[config(nested)]
        metrics: OtlpMetricsConfig,
    }

    fn load(pairs: &[(&str, &str)]) -> Root {
        let env = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let loaded = vor_config::load::<Root>(Sources { env, ..Sources::default() }).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        loaded.settings
    }

    #[test]
    fn the_standard_variables_mean_what_their_specification_says() {
        let Root { shared, traces, metrics } = load(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://d:4317"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi==,x-team=green"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA"),
            (
                "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                "base2_exponential_bucket_histogram",
            ),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        assert_eq!(shared.endpoint, Some("http://c:4318".to_owned().try_into().unwrap()));
        assert_eq!(traces.endpoint, Some("https://d:4317".to_owned().try_into().unwrap()));
        assert_eq!((traces.protocol, metrics.protocol), (None, Some(Protocol::Http)));
        let headers = shared.headers.unwrap();
        assert_eq!(headers["authorization"].reveal(), "Basic%20YTpi==");
        assert_eq!(headers["x-team"].reveal(), "green");
        assert_eq!(shared.timeout.get(), std::time::Duration::from_millis(2_500));
        assert_eq!((shared.compression, traces.compression), (Compression::Gzip, None));
        assert_eq!((shared.insecure, traces.insecure), (false, Some(true)));
        assert_eq!(shared.certificate, Some("/ca.pem".into()));
        assert_eq!(metrics.interval.get(), std::time::Duration::from_secs(1));
        assert_eq!(metrics.temporality, Temporality::Delta);
        assert_eq!(metrics.histogram_aggregation, Aggregation::Exponential);
        assert_eq!(traces.sampler.name, SamplerName::TraceIdRatio);
        assert!((traces.sampler.arg - 0.25).abs() < f64::EPSILON);
    }

    #[test]
    fn variables_of_beyla_are_understood() {
        let root = load(&[
            ("BEYLA_OTEL_INSECURE_SKIP_VERIFY", "true"),
            ("BEYLA_METRICS_INTERVAL", "15s"),
            ("BEYLA_OTEL_METRICS_FEATURES", "application,stats_tcp_rtt,*"),
            ("BEYLA_OTEL_TRACES_INSTRUMENTATIONS", "http,grpc"),
            ("BEYLA_OTLP_TRACES_MAX_QUEUE_SIZE", "100"),
            ("BEYLA_BACKOFF_MAX_ELAPSED_TIME", "1m"),
            ("OTEL_EBPF_METRICS_TTL", "5m"),
        ]);
        let Root { traces, metrics, .. } = root;
        assert!(traces.insecure_skip_verify && metrics.insecure_skip_verify);
        assert_eq!(metrics.interval.get(), std::time::Duration::from_secs(15));
        assert_eq!(metrics.features, [Feature::Application, Feature::Stats, Feature::All]);
        assert_eq!(traces.instrumentations, ["http", "grpc"]);
        assert_eq!(traces.max_queue_size, 100);
        assert_eq!(traces.backoff_max_elapsed_time.get(), std::time::Duration::from_secs(60));
        assert_eq!(metrics.ttl.get(), std::time::Duration::from_secs(300));
    }
}
