// SPDX-License-Identifier: Apache-2.0
//! Keys of Beyla 2.1, and those of OBI that stand in its files: their settings are never an error.
//!
//! A key that vor has under the same path is read; any other in this list is named in a warning and passed
//! over. Keys that vor has may stand here too: the list is complete for Beyla 2.1 and says nothing of vor.

use vor_config::Foreign;

/// Variables with our prefixes that name files or belong to the tests, not to a setting.
pub(crate) const RESERVED: [&str; 4] =
    ["VOR_CONFIG_PATH", "OTEL_EBPF_CONFIG_PATH", "BEYLA_CONFIG_PATH", "VOR_BLESS"];

const fn key(path: &'static str, env: &'static str) -> Foreign {
    Foreign { path, env }
}

/// The keys, in the order of their sections; Beyla's `BEYLA_OTEL_X` is `OTEL_EBPF_X` in OBI.
pub(crate) const FOREIGN: &[Foreign] = &[
    key("log_level", "LOG_LEVEL"),
    key("enforce_sys_caps", "ENFORCE_SYS_CAPS"),
    key("executable_name", "EXECUTABLE_NAME"),
    key("open_port", "OPEN_PORT"),
    key("service_name", "SERVICE_NAME"),
    key("service_namespace", "SERVICE_NAMESPACE"),
    key("trace_printer", "TRACE_PRINTER"),
    key("channel_buffer_len", "CHANNEL_BUFFER_LEN"),
    key("profile_port", "PROFILE_PORT"),
    key("ebpf.bpf_debug", "BPF_DEBUG"),
    key("ebpf.wakeup_len", "BPF_WAKEUP_LEN"),
    key("ebpf.batch_length", "BPF_BATCH_LENGTH"),
    key("ebpf.batch_timeout", "BPF_BATCH_TIMEOUT"),
    key("ebpf.track_request_headers", "BPF_TRACK_REQUEST_HEADERS"),
    key("ebpf.http_request_timeout", "BPF_HTTP_REQUEST_TIMEOUT"),
    key("ebpf.enable_context_propagation", "BPF_ENABLE_CONTEXT_PROPAGATION"),
    key("ebpf.context_propagation", "BPF_CONTEXT_PROPAGATION"),
    key("ebpf.override_bpfloop_enabled", "OVERRIDE_BPF_LOOP_ENABLED"),
    key("ebpf.traffic_control_l7_context_propagation", "BPF_TC_L7_CP"),
    key("ebpf.disable_black_box_cp", "BPF_DISABLE_BLACK_BOX_CP"),
    key("ebpf.high_request_volume", "BPF_HIGH_REQUEST_VOLUME"),
    key("ebpf.heuristic_sql_detect", "HEURISTIC_SQL_DETECT"),
    key("ebpf.instrument_gpu", "INSTRUMENT_GPU"),
    key("ebpf.instrument_cuda", "INSTRUMENT_CUDA"),
    key("ebpf.protocol_debug_print", "PROTOCOL_DEBUG_PRINT"),
    key("ebpf.use_otel_sdk_for_java", "USE_OTEL_SDK_FOR_JAVA"),
    key("ebpf.max_transaction_time", ""),
    key("ebpf.bpf_fs_path", ""),
    key("ebpf.buffer_sizes.*", ""),
    key("ebpf.dns_request_timeout", ""),
    key("ebpf.force_bpf_map_reader", ""),
    key("ebpf.kafka_topic_uuid_cache_size", ""),
    key("ebpf.maps_config.*", ""),
    key("ebpf.mongo_requests_cache_size", ""),
    key("ebpf.mssql_prepared_statements_cache_size", ""),
    key("ebpf.mysql_prepared_statements_cache_size", ""),
    key("ebpf.postgres_prepared_statements_cache_size", ""),
    key("ebpf.couchbase_db_cache_size", ""),
    key("ebpf.go_http_client_buffer_timeout", ""),
    key("ebpf.payload_extraction.*", ""),
    key("ebpf.populate_trace_context", ""),
    key("ebpf.stats_wakeup_data_bytes", ""),
    key("discovery.services.*", ""),
    key("discovery.exclude_services.*", ""),
    key("discovery.default_exclude_services.*", ""),
    key("discovery.instrument.*", ""),
    key("discovery.exclude_instrument.*", ""),
    key("discovery.default_exclude_instrument.*", ""),
    key("discovery.poll_interval", "DISCOVERY_POLL_INTERVAL"),
    key("discovery.system_wide", "SYSTEM_WIDE"),
    key("discovery.skip_go_specific_tracers", "SKIP_GO_SPECIFIC_TRACERS"),
    key("discovery.bpf_pid_filter_off", "BPF_PID_FILTER_OFF"),
    key("discovery.exclude_otel_instrumented_services", "EXCLUDE_OTEL_INSTRUMENTED_SERVICES"),
    key("discovery.disabled_route_harvesters", ""),
    key("discovery.excluded_linux_system_paths", ""),
    key("discovery.process_context_poll_interval", ""),
    key("discovery.route_harvester_timeout", ""),
    key("discovery.route_harvester_advanced.*", ""),
    key("routes.*", ""),
    key("name_resolver.sources", "NAME_RESOLVER_SOURCES"),
    key("name_resolver.cache_len", "NAME_RESOLVER_CACHE_LEN"),
    key("name_resolver.cache_expiry", "NAME_RESOLVER_CACHE_TTL"),
    key("attributes.metric_span_names_limit", ""),
    key("attributes.sensitive_query_params.*", ""),
    key("attributes.instance_id.dns", "HOSTNAME_DNS_RESOLUTION"),
    key("attributes.instance_id.override_hostname", "HOSTNAME"),
    key("attributes.host_id.override", "HOST_ID"),
    key("attributes.host_id.fetch_timeout", "HOST_ID_FETCH_TIMEOUT"),
    key("attributes.kubernetes.enable", "KUBE_METADATA_ENABLE"),
    key("attributes.kubernetes.cluster_name", "KUBE_CLUSTER_NAME"),
    key("attributes.kubernetes.kubeconfig_path", "KUBECONFIG"),
    key("attributes.kubernetes.informers_sync_timeout", "KUBE_INFORMERS_SYNC_TIMEOUT"),
    key("attributes.kubernetes.informers_resync_period", "KUBE_INFORMERS_RESYNC_PERIOD"),
    key("attributes.kubernetes.disable_informers", "KUBE_DISABLE_INFORMERS"),
    key("attributes.kubernetes.meta_cache_address", "KUBE_META_CACHE_ADDRESS"),
    key("attributes.kubernetes.meta_restrict_local_node", "KUBE_META_RESTRICT_LOCAL_NODE"),
    key(
        "attributes.kubernetes.meta_source_labels.service_name",
        "KUBE_META_SOURCE_LABEL_SERVICE_NAME",
    ),
    key(
        "attributes.kubernetes.meta_source_labels.service_namespace",
        "KUBE_META_SOURCE_LABEL_SERVICE_NAMESPACE",
    ),
    key("attributes.kubernetes.resource_labels.*", ""),
    key("attributes.kubernetes.service_name_template", ""),
    key("filter.application.*", ""),
    key("otel_metrics_export.interval", "METRICS_INTERVAL"),
    key("otel_metrics_export.endpoint", ""),
    key("otel_metrics_export.protocol", ""),
    key(
        "otel_metrics_export.insecure_skip_verify",
        "INSECURE_SKIP_VERIFY|BEYLA_OTEL_INSECURE_SKIP_VERIFY",
    ),
    key("otel_metrics_export.buckets.*", ""),
    key("otel_metrics_export.histogram_aggregation", ""),
    key("otel_metrics_export.reporters_cache_len", "METRICS_REPORT_CACHE_LEN"),
    key("otel_metrics_export.otel_sdk_log_level", "SDK_LOG_LEVEL|BEYLA_OTEL_SDK_LOG_LEVEL"),
    key(
        "otel_metrics_export.features",
        "METRICS_FEATURES|BEYLA_OTEL_METRICS_FEATURES|BEYLA_OTEL_METRIC_FEATURES",
    ),
    key(
        "otel_metrics_export.instrumentations",
        "METRICS_INSTRUMENTATIONS|BEYLA_OTEL_METRICS_INSTRUMENTATIONS",
    ),
    key("otel_metrics_export.ttl", "METRICS_TTL|BEYLA_OTEL_METRICS_TTL"),
    key(
        "otel_metrics_export.allow_service_graph_self_references",
        "ALLOW_SERVICE_GRAPH_SELF_REFERENCES|BEYLA_OTEL_ALLOW_SERVICE_GRAPH_SELF_REFERENCES",
    ),
    key("otel_traces_export.endpoint", ""),
    key("otel_traces_export.protocol", ""),
    key(
        "otel_traces_export.instrumentations",
        "TRACES_INSTRUMENTATIONS|BEYLA_OTEL_TRACES_INSTRUMENTATIONS",
    ),
    key(
        "otel_traces_export.insecure_skip_verify",
        "INSECURE_SKIP_VERIFY|BEYLA_OTEL_INSECURE_SKIP_VERIFY",
    ),
    key("otel_traces_export.sampler.name", ""),
    key("otel_traces_export.sampler.arg", ""),
    key("otel_traces_export.max_export_batch_size", "OTLP_TRACES_MAX_EXPORT_BATCH_SIZE"),
    key("otel_traces_export.max_queue_size", "OTLP_TRACES_MAX_QUEUE_SIZE"),
    key("otel_traces_export.batch_timeout", "OTLP_TRACES_BATCH_TIMEOUT"),
    key("otel_traces_export.export_timeout", "OTLP_TRACES_EXPORT_TIMEOUT"),
    key("otel_traces_export.backoff_initial_interval", "BACKOFF_INITIAL_INTERVAL"),
    key("otel_traces_export.backoff_max_interval", "BACKOFF_MAX_INTERVAL"),
    key("otel_traces_export.backoff_max_elapsed_time", "BACKOFF_MAX_ELAPSED_TIME"),
    key("otel_traces_export.reporters_cache_len", "TRACES_REPORT_CACHE_LEN"),
    key("prometheus_export.port", "PROMETHEUS_PORT"),
    key("prometheus_export.path", "PROMETHEUS_PATH"),
    key("prometheus_export.disable_build_info", "PROMETHEUS_DISABLE_BUILD_INFO"),
    key("prometheus_export.features", "PROMETHEUS_FEATURES"),
    key("prometheus_export.instrumentations", "PROMETHEUS_INSTRUMENTATIONS"),
    key("prometheus_export.buckets.*", ""),
    key("prometheus_export.ttl", "PROMETHEUS_TTL"),
    key("prometheus_export.service_cache_size", ""),
    key("prometheus_export.exemplar_filter", ""),
    key(
        "prometheus_export.allow_service_graph_self_references",
        "PROMETHEUS_ALLOW_SERVICE_GRAPH_SELF_REFERENCES",
    ),
    key("prometheus_export.extra_resource_attributes", "PROMETHEUS_EXTRA_RESOURCE_ATTRIBUTES"),
    key("grafana.otlp.cloud_submit", "GRAFANA_CLOUD_SUBMIT"),
    key("grafana.otlp.cloud_zone", "GRAFANA_CLOUD_ZONE"),
    key("grafana.otlp.cloud_instance_id", "GRAFANA_CLOUD_INSTANCE_ID"),
    key("grafana.otlp.cloud_api_key", "GRAFANA_CLOUD_API_KEY"),
    key("internal_metrics.exporter", "INTERNAL_METRICS_EXPORTER"),
    key("internal_metrics.prometheus.port", "INTERNAL_METRICS_PROMETHEUS_PORT"),
    key("internal_metrics.prometheus.path", "INTERNAL_METRICS_PROMETHEUS_PATH"),
    key("internal_metrics.bpf_metric_scrape_interval", ""),
    key("processes.interval", "PROCESSES_INTERVAL"),
    key("metrics.features", "METRICS_FEATURES"),
    key("nodejs.*", ""),
    key("javaagent.*", ""),
    key("jvm_runtime_metrics.*", ""),
    key("log_config", "LOG_CONFIG"),
    key("log_format", "LOG_FORMAT"),
    key("(k8s-cache)", "K8S_CACHE_PROFILE_PORT"),
    key("(k8s-cache)", "K8S_CACHE_INFORMER_RESYNC_PERIOD"),
];

#[cfg(test)]
mod tests {
    use crate::{cli::SettingsArgs, config::load_with};

    const BEYLA_FILE: &str = r#"
log_level: INFO
trace_printer: text
open_port: 443,8000-8999
ebpf:
  wakeup_len: 100
  track_request_headers: true
discovery:
  services:
    - exe_path: (backend|frontend)
      k8s_pod_labels: { team: "^a$" }
routes:
  patterns: [/user/:id]
  unmatched: heuristic
attributes:
  select:
    http_server_request_duration: { include: [http.route] }
  kubernetes: { enable: autodetect }
otel_traces_export:
  sampler: { name: traceidratio, arg: "0.5" }
  endpoint: http://${NODE_IP:-localhost}:4318
prometheus_export: { port: 8999, path: /metrics }
network: { enable: false }
"#;

    #[test]
    fn a_file_and_variables_of_beyla_start_vor_unchanged() {
        let file = std::env::temp_dir().join(format!("vor-compat-{}.yml", std::process::id()));
        std::fs::write(&file, BEYLA_FILE).unwrap();
        let args = SettingsArgs { config: Some(file.clone()), ..SettingsArgs::default() };
        let variables = super::FOREIGN
            .iter()
            .flat_map(|key| vor_config::variables(key.env))
            .filter(|name| name.contains("NETWORK") || name.contains("K8S_CACHE"))
            .map(|name| (name, "1".to_owned()))
            .collect();
        let loaded = load_with(&args, variables);
        std::fs::remove_file(&file).unwrap();
        let loaded = loaded.unwrap();
        assert!(loaded.settings.open_port.contains(8500));
        assert!(loaded.warnings.iter().all(|warning| !warning.contains("sets nothing")));
    }
}
