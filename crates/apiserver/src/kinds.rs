// SPDX-License-Identifier: Apache-2.0
//! The kinds of objects that there are, and what discovery says of them.

use serde_json::{Value, json};

/// A kind of objects and where it is found.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group, empty for the oldest one.
    pub group: &'static str,
    /// How objects name it (`Pod`).
    pub kind: &'static str,
    /// How paths and rules name it (`pods`).
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

const fn kind(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind { group, kind, plural, namespaced }
}

/// All of them; every group is served as `v1`.
pub static KINDS: [Kind; 11] = [
    kind("", "Namespace", "namespaces", false),
    kind("", "Node", "nodes", false),
    kind("", "Pod", "pods", true),
    kind("", "Service", "services", true),
    kind("apps", "DaemonSet", "daemonsets", true),
    kind("apps", "Deployment", "deployments", true),
    kind("apps", "ReplicaSet", "replicasets", true),
    kind("apps", "StatefulSet", "statefulsets", true),
    kind("batch", "CronJob", "cronjobs", true),
    kind("batch", "Job", "jobs", true),
    kind("discovery.k8s.io", "EndpointSlice", "endpointslices", true),
];

const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

impl Kind {
    /// The kind that objects name so.
    #[must_use]
    pub fn named(kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|known| known.kind == kind)
    }

    pub(crate) fn at(group: &str, plural: &str) -> Option<&'static Self> {
        KINDS.iter().find(|known| known.group == group && known.plural == plural)
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    /// `pods`, or `deployments.apps`, as messages name it.
    pub(crate) fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = KINDS.iter().map(|kind| kind.group).collect();
    groups.retain(|group| !group.is_empty());
    groups.dedup();
    groups
}

/// What a path that names no objects answers, if it is one of discovery or health.
pub(crate) fn discovery(path: &str) -> Option<Value> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Some(json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.0-vor-test", "platform": "linux/amd64",
        })),
        ["healthz" | "livez" | "readyz"] => Some(json!("ok")),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => Some(json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups().into_iter().map(group_described).collect::<Vec<_>>(),
        })),
        ["api", "v1"] => Some(resources("")),
        ["apis", group, "v1"] if groups().contains(group) => Some(resources(group)),
        ["apis", group] => groups().into_iter().find(|known| known == group).map(group_described),
        _ => None,
    }
}

fn group_described(group: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str) -> Value {
    let of_group = KINDS.iter().filter(|kind| kind.group == group);
    let described: Vec<_> = of_group
        .map(|kind| {
            json!({
                "name": kind.plural,
                "singularName": kind.kind.to_lowercase(),
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": VERBS,
            })
        })
        .collect();
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": described,
    })
}
