// SPDX-License-Identifier: Apache-2.0
//! Settings of discovery (`discovery`). Keys, order and meaning are those of Beyla (`services`, regular
//! expressions) and of OpenTelemetry eBPF Instrumentation (`instrument`, globs).

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};
use vor_config::{Duration, PortSet, Propagation};
use vor_model::Key;

use crate::pattern::{Glob, Regexp};

/// Keys of a selector that ask for something this version cannot know: such a selector matches nothing,
/// because to pass over one of its conditions would observe more than was asked for.
const UNKNOWABLE: [&str; 3] = ["cmd_args", "languages", "target_pids"];
/// Keys of a selector that ask for what is known of a container, and the attribute each asks for.
const METADATA: [(&str, Key); 15] = [
    ("container_name", Key::new("container.name")),
    ("k8s_namespace", Key::new("k8s.namespace.name")),
    ("k8s_pod_name", Key::new("k8s.pod.name")),
    ("k8s_container_name", Key::new("k8s.container.name")),
    ("k8s_deployment_name", Key::new("k8s.deployment.name")),
    ("k8s_replicaset_name", Key::new("k8s.replicaset.name")),
    ("k8s_daemonset_name", Key::new("k8s.daemonset.name")),
    ("k8s_statefulset_name", Key::new("k8s.statefulset.name")),
    ("k8s_job_name", Key::new("k8s.job.name")),
    ("k8s_cronjob_name", Key::new("k8s.cronjob.name")),
    ("k8s_owner_name", Key::new("k8s.owner.name")),
    ("k8s_kind", Key::new("k8s.kind")),
    ("k8s_node_name", Key::new("k8s.node.name")),
    ("k8s_cluster_name", Key::new("k8s.cluster.name")),
    ("k8s_pod_uid", Key::new("k8s.pod.uid")),
];
/// Keys of a selector that say what to do with what it selects, in other agents.
const PASSED_OVER: [&str; 4] = ["exports", "sampler", "routes", "metrics"];

/// Which processes are observed (`discovery`).
#[derive(Debug, Clone, confique::Config)]
pub struct DiscoveryConfig {
    /// Processes to observe: each item has one or more of `open_ports` (such as `80,8000-8999`), `exe_path` (a
    /// regular expression), `containers_only: true`, and what is known of the container: `container_name`,
    /// `k8s_namespace`, `k8s_pod_name`, `k8s_pod_uid`, `k8s_container_name`, `k8s_deployment_name`,
    /// `k8s_replicaset_name`, `k8s_daemonset_name`, `k8s_statefulset_name`, `k8s_job_name`, `k8s_cronjob_name`,
    /// `k8s_owner_name`, `k8s_kind`, `k8s_node_name`, `k8s_cluster_name` (regular expressions), `k8s_pod_labels` and
    /// `k8s_pod_annotations` (sections of regular expressions). All of them must match. An item may give a `name` and
    /// a `namespace`, and `context_propagation` where it is to differ from `ebpf.context_propagation`. The first item
    /// that matches counts. Not looked at when `instrument` is set.
    #[config(default = [])]
    pub services: Vec<Selector<Regexp>>,
    /// Processes that are never observed, in the form of `services`.
    #[config(default = [])]
    pub exclude_services: Vec<Selector<Regexp>>,
    /// As `exclude_services`: the agents themselves. An empty list lets them be observed.
    #[config(default = [{ "exe_path": "(?:^|/)(vor$|beyla$|alloy$|otelcol[^/]*$)" }])]
    pub default_exclude_services: Vec<Selector<Regexp>>,
    /// As `services`, with globs over the whole path: `exe_path: "*/nginx"`.
    #[config(default = [])]
    pub instrument: Vec<Selector<Glob>>,
    /// Processes that are never observed, in the form of `instrument`.
    #[config(default = [])]
    pub exclude_instrument: Vec<Selector<Glob>>,
    /// As `exclude_instrument`, in force when `instrument` is set: the agents themselves.
    #[config(default = [{
        "exe_path": "{*/vor,*/beyla,*/alloy,*/obi,*/ebpf-instrument,*/otelcol,*/otelcol-contrib}"
    }])]
    pub default_exclude_instrument: Vec<Selector<Glob>>,
    /// How often all processes are listed, so that nothing is missed when the kernel's events are not to be
    /// had. While these events come and tell everything, the time to the next listing doubles each time, up to
    /// 12 times this; a listing that finds something they did not tell puts it back. 0 means 5s.
    #[config(default = "5s", env = "DISCOVERY_POLL_INTERVAL")]
    pub poll_interval: Duration,
    /// Observes every process, whatever else is selected; the excluded ones stay excluded.
    #[config(default = false, env = "SYSTEM_WIDE")]
    pub system_wide: bool,
}

/// One item of a list of processes: at least one condition, and what to call what matches.
#[derive(Debug, Clone)]
pub struct Selector<P> {
    /// `service.name` of what matches.
    pub name: Option<String>,
    /// `service.namespace` of what matches.
    pub namespace: Option<String>,
    /// One of these ports is listened on.
    pub open_ports: PortSet,
    /// The executable's path.
    pub exe_path: Option<P>,
    /// It is in a container.
    pub containers_only: bool,
    /// What is known of its container.
    pub metadata: Vec<(Key, P)>,
    /// Labels of its container or pod.
    pub labels: BTreeMap<String, P>,
    /// Annotations of its pod.
    pub annotations: BTreeMap<String, P>,
    /// How trace context is written by what matches; `None`: as by everybody.
    pub propagation: Option<Propagation>,
    /// Conditions that this version cannot judge, so that nothing matches.
    pub unknowable: Vec<&'static str>,
}

impl<'de, P: Deserialize<'de>> Deserialize<'de> for Selector<P> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Item(PhantomData))
    }
}

struct Item<P>(PhantomData<P>);

impl<'de, P: Deserialize<'de>> de::Visitor<'de> for Item<P> {
    type Value = Selector<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section with open_ports or exe_path")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut keys: A) -> Result<Selector<P>, A::Error> {
        let mut selector = Selector {
            name: None,
            namespace: None,
            open_ports: PortSet::default(),
            exe_path: None,
            containers_only: false,
            metadata: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            propagation: None,
            unknowable: Vec::new(),
        };
        let mut deprecated = None;
        while let Some(key) = keys.next_key::<String>()? {
            match key.as_str() {
                "name" => selector.name = Some(keys.next_value()?),
                "namespace" => selector.namespace = Some(keys.next_value()?),
                "open_ports" => selector.open_ports = keys.next_value()?,
                "exe_path" => selector.exe_path = Some(keys.next_value()?),
                "exe_path_regexp" => deprecated = Some(keys.next_value()?),
                "containers_only" => selector.containers_only = keys.next_value()?,
                "k8s_pod_labels" => selector.labels = keys.next_value()?,
                "k8s_pod_annotations" => selector.annotations = keys.next_value()?,
                "context_propagation" => selector.propagation = Some(keys.next_value()?),
                key => {
                    if let Some((_, attribute)) = METADATA.iter().find(|(known, _)| *known == key) {
                        selector.metadata.push((attribute.clone(), keys.next_value()?));
                        continue;
                    }
                    let unknowable = UNKNOWABLE.iter().find(|known| **known == key);
                    if unknowable.is_none() && !PASSED_OVER.contains(&key) {
                        let known =
                            &["name", "namespace", "open_ports", "exe_path", "k8s_namespace"];
                        return Err(de::Error::unknown_field(key, known));
                    }
                    selector.unknowable.extend(unknowable);
                    keys.next_value::<IgnoredAny>()?;
                }
            }
        }
        selector.exe_path = selector.exe_path.or(deprecated);
        if selector.is_empty() {
            return Err(de::Error::custom("the item selects nothing, set open_ports or exe_path"));
        }
        Ok(selector)
    }
}

impl<P> Selector<P> {
    /// Whether it has no condition.
    fn is_empty(&self) -> bool {
        self.exe_path.is_none()
            && self.open_ports.is_empty()
            && !self.asks_for_containers()
            && self.unknowable.is_empty()
    }

    /// Whether a condition asks for the container.
    pub(crate) fn asks_for_containers(&self) -> bool {
        self.containers_only
            || !self.metadata.is_empty()
            || !self.labels.is_empty()
            || !self.annotations.is_empty()
    }
}
