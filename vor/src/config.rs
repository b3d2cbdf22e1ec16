// SPDX-License-Identifier: Apache-2.0
//! The root of all settings: one field per crate, and the keys that stand at the top of the file.
//!
//! `confique` nests by key only, so keys at the root are leaves here and are passed down as values.

mod network;

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};
use tracing::level_filters::LevelFilter;
use vor_config::{ConfigError, Duration, Loaded, PortSet, Sources};
use vor_discover::{DiscoveryConfig, Glob, Regexp, ResourceAttributes};
use vor_enrich::NameResolverConfig;
use vor_enrich::container::ContainersConfig;
use vor_enrich::kube::{KubernetesConfig, METRIC_LABELS, cache::KubeCacheConfig};
use vor_export::{
    otlp::{OtlpConfig, OtlpMetricsConfig, OtlpTracesConfig},
    print::TracePrinter,
    prometheus::{InternalMetricsConfig, PrometheusConfig},
};
use vor_model::Key;
use vor_pipeline::stages::FilterRules;
use vor_pipeline::{MetricsConfig, Select, SpansConfig};
use vor_probe::{JavaAgentConfig, ProbeConfig};

pub(crate) use network::NetworkConfig;

use crate::{
    cli::SettingsArgs,
    compat::{FOREIGN, RESERVED},
};

/// Variables that name the settings file, strongest first.
pub(crate) const FILE_VARIABLES: [&str; 3] =
    ["VOR_CONFIG_PATH", "OTEL_EBPF_CONFIG_PATH", "BEYLA_CONFIG_PATH"];

/// Everything that can be set.
#[derive(Debug, confique::Config)]
pub(crate) struct Config {
    /// How much vor says about itself on standard error: `error`, `warn`, `info`, `debug`, `trace` or
    /// `off`, in any case.
    #[config(env = "LOG_LEVEL|K8S_CACHE_LOG_LEVEL", default = "info")]
    pub log_level: LogLevel,
    /// Ports whose programs are observed, such as `80,443,8000-8999`: each program that listens on one of
    /// them.
    #[config(env = "OPEN_PORT", default = "")]
    pub open_port: PortSet,
    /// A regular expression; programs are observed whose path matches it.
    #[config(env = "EXECUTABLE_NAME|OTEL_GO_AUTO_TARGET_EXE")]
    pub executable_name: Option<Regexp>,
    /// A glob; programs are observed whose whole path matches it, such as `*/nginx`.
    #[config(env = "AUTO_TARGET_EXE")]
    pub auto_target_exe: Option<Glob>,
    /// What the programs are called that `open_port`, `executable_name` or `auto_target_exe` select. Not
    /// set: each by its own environment, or by its executable.
    #[config(env = "OTEL_SERVICE_NAME|SERVICE_NAME")]
    pub service_name: Option<String>,
    /// Their namespace.
    #[config(env = "SERVICE_NAMESPACE")]
    pub service_namespace: Option<String>,
    /// Resource attributes of every service that does not say otherwise: `key=value,key2=value2`.
    #[config(env = "OTEL_RESOURCE_ATTRIBUTES", default = "")]
    pub resource_attributes: ResourceAttributes,
    /// How spans are printed on standard output: `text`, `json`, `json_indent`, `tree` (whole traces,
    /// each span below its parent), `counter` (only how many, at the end) or `disabled`. Not set: `text` when nothing else takes spans or metrics, else `disabled`.
    #[config(env = "TRACE_PRINTER")]
    pub trace_printer: Option<TracePrinter>,
    /// How long the last spans and metrics may take to leave when vor ends.
    #[config(env = "SHUTDOWN_TIMEOUT", default = "10s")]
    pub shutdown_timeout: Duration,
    /// How the kernel is watched.
    #[config(nested)]
    pub ebpf: ProbeConfig,
    /// The agent for Java programs.
    #[config(nested)]
    pub javaagent: JavaAgentConfig,
    /// Which processes are observed.
    #[config(nested)]
    pub discovery: DiscoveryConfig,
    /// What is said of services beside their names.
    #[config(nested)]
    pub attributes: AttributesConfig,
    /// Names for addresses in spans.
    #[config(nested)]
    pub name_resolver: NameResolverConfig,
    /// Network flows.
    #[config(nested)]
    pub network: NetworkConfig,
    /// What is kept of what is seen.
    #[config(nested)]
    pub filter: FilterConfig,
    /// How captured exchanges become spans.
    #[config(nested)]
    pub spans: SpansConfig,
    /// What holds for every metric exporter.
    #[config(nested)]
    pub metrics: MetricsConfig,
    /// What the OTLP exporters of traces and metrics share.
    #[config(nested)]
    pub otel_export: OtlpConfig,
    /// Traces for an OpenTelemetry collector.
    #[config(nested)]
    pub otel_traces_export: OtlpTracesConfig,
    /// Metrics for an OpenTelemetry collector.
    #[config(nested)]
    pub otel_metrics_export: OtlpMetricsConfig,
    /// Metrics for Prometheus to fetch.
    #[config(nested)]
    pub prometheus_export: PrometheusConfig,
    /// Metrics of vor itself.
    #[config(nested)]
    pub internal_metrics: InternalMetricsConfig,
    /// The shared cache of Kubernetes metadata.
    #[config(nested)]
    pub kube_cache: KubeCacheConfig,
}

/// What is kept of what is seen (`filter`).
#[derive(Debug, Clone, confique::Config)]
pub(crate) struct FilterConfig {
    /// Flows are kept whose attributes are like this: for each attribute `match` or `not_match`, a glob, such as
    /// `{dst.port: {match: "80*"}}`. All of it must hold; an attribute that is not there is like empty text.
    #[config(default = {})]
    pub network: FilterRules,
}

/// What is said of services beside their names, and which attributes become labels (`attributes`).
#[derive(Debug, Clone, confique::Config)]
pub(crate) struct AttributesConfig {
    /// Attributes that become labels, by name of metric or glob, in OpenTelemetry's or Prometheus' spelling: `include`
    /// shows exactly what fits one of its globs, `exclude` takes away. Without a rule a metric has the labels that
    /// [metrics.md](metrics.md) lists.
    #[config(default = {})]
    pub select: Select,
    /// Further attributes of services that become labels of their metrics on the page for Prometheus, in the one group that
    /// there is: `{k8s_app_meta: [k8s.app.version]}`. OTLP has all of them as resource attributes.
    #[config(default = {})]
    pub extra_group_attributes: ExtraAttributes,
    /// How instances of services are told apart.
    #[config(nested)]
    pub instance_id: InstanceIdConfig,
    /// Names from Kubernetes.
    #[config(nested)]
    pub kubernetes: KubernetesConfig,
    /// Names from container engines.
    #[config(nested)]
    pub containers: ContainersConfig,
}

/// Attributes by group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ExtraAttributes {
    k8s_app_meta: Vec<String>,
}

impl AttributesConfig {
    /// Attributes of services that stand beside the labels of their metrics; `cluster`: one is followed.
    pub(crate) fn beside_labels(&self, cluster: bool) -> Vec<Key> {
        let of_cluster = METRIC_LABELS.iter().filter(|_| cluster).cloned();
        let extra = self.extra_group_attributes.k8s_app_meta.iter().cloned().map(Key::from);
        let mut keys: Vec<Key> = of_cluster.collect();
        for key in extra {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }
}

/// How instances of services are told apart (`attributes.instance_id`).
#[derive(Debug, Clone, confique::Config)]
pub(crate) struct InstanceIdConfig {
    /// The name of this host. Not set: the one the kernel has.
    #[config(env = "HOSTNAME")]
    pub override_hostname: Option<String>,
}

/// The settings in force for a command line, from this process's environment.
pub(crate) fn load(args: &SettingsArgs) -> Result<Loaded<Config>, ConfigError> {
    load_with(args, vor_config::environment())
}

/// As [`load`], from a given environment.
pub(crate) fn load_with(
    args: &SettingsArgs,
    env: Vec<(String, String)>,
) -> Result<Loaded<Config>, ConfigError> {
    let file = args.config.clone().or_else(|| file_variable(&env));
    vor_config::load(Sources {
        file: file.as_deref(),
        env,
        flags: args.flags(),
        foreign: FOREIGN,
        reserved: &RESERVED,
    })
}

/// Whether the user asks programs not to use colours (no-color.org).
pub(crate) fn no_color() -> bool {
    vor_config::environment().iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty())
}

fn file_variable(env: &[(String, String)]) -> Option<PathBuf> {
    FILE_VARIABLES.iter().find_map(|name| {
        let set = env.iter().find(|(known, value)| known == name && !value.is_empty());
        set.map(|(_, value)| PathBuf::from(value))
    })
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLevel(pub LevelFilter);

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Word)
    }
}

struct Word;

impl de::Visitor<'_> for Word {
    type Value = LogLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of error, warn, info, debug, trace, off")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<LogLevel, E> {
        let level = match word.to_ascii_lowercase().as_str() {
            "error" => LevelFilter::ERROR,
            "warn" | "warning" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            "off" => LevelFilter::OFF,
            _ => return Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        };
        Ok(LogLevel(level))
    }
}
