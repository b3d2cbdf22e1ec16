// SPDX-License-Identifier: Apache-2.0
//! Settings of the Prometheus endpoint and of vor's own metrics.

use serde::Deserialize;
use vor_config::Duration;
use vor_pipeline::BucketsConfig;

use crate::Feature;

/// Metrics for Prometheus to fetch (`prometheus_export`).
#[derive(Debug, Clone, confique::Config)]
pub struct PrometheusConfig {
    /// TCP port of the endpoint, on all addresses. 0: there is none.
    #[config(default = 0, env = "PROMETHEUS_PORT")]
    pub port: u16,
    /// Path of the endpoint.
    #[config(default = "/metrics", env = "PROMETHEUS_PATH")]
    pub path: UrlPath,
    /// Leaves the build information of vor out.
    #[config(default = false, env = "PROMETHEUS_DISABLE_BUILD_INFO")]
    pub disable_build_info: bool,
    /// Groups of metrics.
    #[config(default = ["application"], env = "PROMETHEUS_FEATURES")]
    pub features: Vec<Feature>,
    /// Protocols whose operations are measured, by name; `*` stands for all of them.
    #[config(default = ["*"], env = "PROMETHEUS_INSTRUMENTATIONS")]
    pub instrumentations: Vec<String>,
    /// Bounds of histogram buckets.
    #[config(nested)]
    pub buckets: BucketsConfig,
    /// A series without news for longer is forgotten.
    #[config(default = "70m", env = "PROMETHEUS_TTL")]
    pub ttl: Duration,
    /// Resource attributes that become labels of `target_info`, beside the usual ones.
    #[config(default = [], env = "PROMETHEUS_EXTRA_RESOURCE_ATTRIBUTES")]
    pub extra_resource_attributes: Vec<String>,
}

/// Metrics of vor itself (`internal_metrics`).
#[derive(Debug, Clone, confique::Config)]
pub struct InternalMetricsConfig {
    /// Where they go: `disabled` or `prometheus`.
    #[config(default = "disabled", env = "INTERNAL_METRICS_EXPORTER")]
    pub exporter: InternalExporter,
    /// The endpoint, when it is `prometheus`.
    #[config(nested)]
    pub prometheus: InternalPrometheusConfig,
}

/// Where metrics of vor itself go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InternalExporter {
    /// Nowhere.
    Disabled,
    /// Prometheus fetches them.
    Prometheus,
    /// An OpenTelemetry collector gets them: understood, not provided by this version.
    Otel,
}

/// Metrics of vor itself for Prometheus to fetch.
#[derive(Debug, Clone, confique::Config)]
pub struct InternalPrometheusConfig {
    /// TCP port of the endpoint, on all addresses; may be that of `prometheus_export` under another path.
    /// 0: there is none.
    #[config(
        default = 0,
        env = "INTERNAL_METRICS_PROMETHEUS_PORT|K8S_CACHE_INTERNAL_METRICS_PROMETHEUS_PORT"
    )]
    pub port: u16,
    /// Path of the endpoint.
    #[config(
        default = "/internal/metrics",
        env = "INTERNAL_METRICS_PROMETHEUS_PATH|K8S_CACHE_INTERNAL_METRICS_PROMETHEUS_PATH"
    )]
    pub path: UrlPath,
}

/// The path of a URL: begins with `/`, has no query.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UrlPath(String);

impl UrlPath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UrlPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
        if path.starts_with('/') && path.chars().all(plain) {
            Ok(Self(path))
        } else {
            Err(format!("{path:?} is not the path of a URL, write one such as /metrics"))
        }
    }
}

#[cfg(test)]
mod tests {
    use confique::Config;

    use super::*;

    #[test]
    fn without_settings_there_is_no_endpoint() {
        let config = PrometheusConfig::builder().load().unwrap();
        assert_eq!((config.port, config.path.as_str()), (0, "/metrics"));
        assert_eq!(
            (config.features, config.instrumentations),
            (vec![Feature::Application], vec!["*".to_owned()])
        );
        let internal = InternalMetricsConfig::builder().load().unwrap();
        assert_eq!(internal.exporter, InternalExporter::Disabled);
        assert_eq!(internal.prometheus.path.as_str(), "/internal/metrics");
    }

    #[test]
    fn a_path_is_one_that_a_request_can_have() {
        for (path, good) in
            [("/", true), ("/a/b", true), ("metrics", false), ("/a b", false), ("/a?b", false)]
        {
            assert_eq!(UrlPath::try_from(path.to_owned()).is_ok(), good, "{path}");
        }
    }
}
