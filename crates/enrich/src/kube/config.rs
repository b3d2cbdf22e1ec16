// SPDX-License-Identifier: Apache-2.0
//! Settings of Kubernetes metadata (`attributes.kubernetes`). Keys and meaning are those of Beyla and of OpenTelemetry
//! eBPF Instrumentation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use vor_config::Duration;

use super::object::Kind;
use super::template::Template;

/// Names from Kubernetes (`attributes.kubernetes`).
#[derive(Debug, Clone, confique::Config)]
pub struct KubernetesConfig {
    /// Whether names are taken from Kubernetes: `true`, `false`, or `autodetect`, which means when vor runs in a pod or
    /// a kubeconfig is there.
    #[config(default = "false", env = "KUBE_METADATA_ENABLE")]
    pub enable: Enable,
    /// The cluster's name. Not set: it is taken from labels of the nodes, or from the cloud's metadata service when the
    /// nodes run in one.
    #[config(env = "KUBE_CLUSTER_NAME")]
    pub cluster_name: Option<String>,
    /// How to reach the API server. Not set: `~/.kube/config` if there is one, else as a pod.
    #[config(env = "KUBECONFIG")]
    pub kubeconfig_path: Option<PathBuf>,
    /// How long the first listing of all objects may take before that is worth a warning. Nothing waits for it.
    #[config(default = "30s", env = "KUBE_INFORMERS_SYNC_TIMEOUT")]
    pub informers_sync_timeout: Duration,
    /// How often everything is listed anew, as a remedy against what a watch did not tell. 0s: only when a watch cannot go
    /// on where it was. A list costs the API server more than a watch.
    #[config(default = "0s", env = "KUBE_INFORMERS_RESYNC_PERIOD")]
    pub informers_resync_period: Duration,
    /// How soon a failed connection to the API server is tried again; the wait doubles up to 30s.
    #[config(default = "1s", env = "KUBE_RECONNECT_INITIAL_INTERVAL")]
    pub reconnect_initial_interval: Duration,
    /// Kinds of objects that are not watched: `node`, `service`, `job`. Without nodes there are no zones; without
    /// services, no names for their addresses; without jobs, cron jobs are told by the names of their jobs.
    #[config(default = [], env = "KUBE_DISABLE_INFORMERS")]
    pub disable_informers: Vec<Informer>,
    /// Watches pods of this node only: less load on the API server, and no names for pods elsewhere.
    #[config(default = false, env = "KUBE_META_RESTRICT_LOCAL_NODE")]
    pub meta_restrict_local_node: bool,
    /// The shared cache (`vor kube-cache`) that is followed instead of the API server: `HOST:PORT`, or
    /// `https://HOST:PORT` for TLS.
    #[config(env = "KUBE_META_CACHE_ADDRESS")]
    pub meta_cache_address: Option<String>,
    /// Certificates in PEM that are trusted when the shared cache speaks TLS, beside those of this system.
    #[config(env = "KUBE_META_CACHE_CERTIFICATE")]
    pub meta_cache_certificate: Option<PathBuf>,
    /// The name of the node vor runs on. Not set: the API server is asked about the pod or node that is called like this
    /// host.
    #[config(env = "KUBE_NODE_NAME")]
    pub node_name: Option<String>,
    /// Resource attributes that are taken from labels of pods: for each attribute, labels of which the first that a pod
    /// has counts. Not set: `service.name` from `app.kubernetes.io/instance` or `app.kubernetes.io/name`,
    /// `service.namespace` from `app.kubernetes.io/part-of`, `service.version` from `app.kubernetes.io/version`.
    pub resource_labels: Option<BTreeMap<String, Vec<String>>>,
    /// The name of services, as a template of Go's `text/template`:
    /// `{{ .Meta.Namespace }}/{{ index .Meta.Labels "app" }}{{ if .ContainerName }}/{{ .ContainerName }}{{ end }}`. Fields:
    /// `.Meta.Name`, `.Meta.Namespace`, `.Meta.Kind`, `.Meta.Labels`, `.Meta.Annotations`, `.Meta.Pod.Uid`,
    /// `.Meta.Pod.NodeName`, `.Meta.Pod.HostIp`, `.Meta.Pod.StartTimeStr`, `.ContainerName`; words: `if`, `else`, `end`,
    /// `index`, `and`, `or`, `not`, `eq`, `ne`. Its first line counts. Stronger than labels and owners, weaker than
    /// annotations and the program's environment; where it gives nothing, labels and owners count.
    #[config(env = "SERVICE_NAME_TEMPLATE")]
    pub service_name_template: Option<Template>,
    /// Labels that give service names (older form of `resource_labels`).
    #[config(nested)]
    pub meta_source_labels: SourceLabelsConfig,
    /// Drops network flows of which one end is not known to Kubernetes.
    #[config(default = false, env = "NETWORK_DROP_EXTERNAL")]
    pub drop_external: bool,
    /// Objects that are remembered at most.
    #[config(default = 50_000, env = "KUBE_MAX_OBJECTS")]
    pub max_objects: usize,
}

/// Labels that give service names (`attributes.kubernetes.meta_source_labels`).
#[derive(Debug, Clone, confique::Config)]
pub struct SourceLabelsConfig {
    /// Label whose value is the service's name.
    #[config(env = "KUBE_META_SOURCE_LABEL_SERVICE_NAME")]
    pub service_name: Option<String>,
    /// Label whose value is the service's namespace.
    #[config(env = "KUBE_META_SOURCE_LABEL_SERVICE_NAMESPACE")]
    pub service_namespace: Option<String>,
}

/// Whether something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enable {
    /// On.
    True,
    /// Off.
    False,
    /// On where it can be had.
    Autodetect,
}

/// A kind of objects whose watch can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Informer {
    /// Nodes.
    #[serde(alias = "nodes")]
    Node,
    /// Services.
    #[serde(alias = "services")]
    Service,
    /// Jobs.
    #[serde(alias = "jobs")]
    Job,
}

impl KubernetesConfig {
    /// The kinds that are watched.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        let off = |informer| self.disable_informers.contains(&informer);
        let mut kinds = Kind::ALL.to_vec();
        kinds.retain(|kind| match kind {
            Kind::Pod => true,
            Kind::Node => !off(Informer::Node),
            Kind::Service => !off(Informer::Service),
            Kind::Job => !off(Informer::Job),
        });
        kinds
    }
}
