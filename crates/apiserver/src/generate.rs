// SPDX-License-Identifier: Apache-2.0
//! Objects as a cluster has them: nodes, namespaces, services, and pods with their owners, as long as real ones.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::kinds::Kind;

/// How much of everything.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Size {
    /// Pods: of ten, seven belong to deployments, one each to a stateful set, a daemon set and a cron job's job.
    pub pods: usize,
    /// Services.
    pub services: usize,
    /// Nodes, over which pods are spread.
    pub nodes: usize,
    /// Namespaces, over which pods and services are spread.
    pub namespaces: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { pods: 5_000, services: 1_000, nodes: 100, namespaces: 50 }
    }
}

/// Pods of one owner.
const REPLICAS: usize = 5;

/// Everything of a cluster of this size, owners before what they own.
pub(crate) fn all(size: Size) -> impl Iterator<Item = Value> {
    let size = Size { nodes: size.nodes.max(1), namespaces: size.namespaces.max(1), ..size };
    let namespaces = (0..size.namespaces)
        .map(|n| json!({"kind": "Namespace", "metadata": {"name": format!("team-{n}")}}));
    let nodes = (0..size.nodes).map(node);
    let services = (0..size.services).map(move |n| service(n, n % size.namespaces));
    let owners =
        (0..size.pods.div_ceil(REPLICAS)).flat_map(move |n| owners(n, n % size.namespaces));
    let pods = (0..size.pods).map(move |n| pod(n, size));
    namespaces.chain(nodes).chain(services).chain(owners).chain(pods)
}

/// The object with what the server itself adds.
pub(crate) fn complete(mut object: Value, kind: &Kind, now: &str) -> Value {
    let meta = &mut object["metadata"];
    if kind.namespaced && meta["namespace"].is_null() {
        meta["namespace"] = json!("default");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if meta["uid"].is_null() {
        meta["uid"] = json!(uid(kind.kind, &text(&meta["namespace"]), &text(&meta["name"])));
    }
    if meta["creationTimestamp"].is_null() {
        meta["creationTimestamp"] = json!(now);
    }
    object
}

/// The same for the same object: FNV-1a over its names, written as a UUID.
fn uid(kind: &str, namespace: &str, name: &str) -> String {
    let hash = |seed: u64| {
        format!("{kind}/{namespace}/{name}")
            .bytes()
            .fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x8422_2325_cbf2_9ce4));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

fn node(n: usize) -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": format!("node-{n}"), "labels": {
            "kubernetes.io/hostname": format!("node-{n}"),
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": "eu-west-1",
            "topology.kubernetes.io/zone": format!("eu-west-1{}", ["a", "b", "c"][n % 3]),
        }},
        "spec": {"providerID": format!("aws:///eu-west-1/i-{n:017x}")},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node_ip(n)},
                {"type": "Hostname", "address": format!("node-{n}")},
            ],
            "nodeInfo": {"kernelVersion": "6.12.0", "containerRuntimeVersion": "containerd://2.1.4"},
        },
    })
}

fn node_ip(n: usize) -> String {
    format!("192.168.{}.{}", n / 250, n % 250 + 1)
}

fn service(n: usize, namespace: usize) -> Value {
    json!({
        "kind": "Service",
        "metadata": {
            "name": format!("service-{n}"),
            "namespace": format!("team-{namespace}"),
            "labels": {"app.kubernetes.io/name": format!("app-{n}")},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": service_ip(n),
            "clusterIPs": [service_ip(n)],
            "selector": {"app.kubernetes.io/name": format!("app-{n}")},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
        "status": {"loadBalancer": {}},
    })
}

fn service_ip(n: usize) -> String {
    format!("172.20.{}.{}", n / 250, n % 250 + 1)
}

fn owned_by(kind: &str, api: &str, name: &str, namespace: &str) -> Value {
    let uid = uid(kind, namespace, name);
    json!([{"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

/// The owner of the pods of group `n`, and its owner.
fn owners(n: usize, namespace: usize) -> Vec<Value> {
    let namespace = format!("team-{namespace}");
    let meta = |name: String| json!({"name": name, "namespace": namespace, "labels": labels(n)});
    let (app, generation) = (format!("app-{n}"), generation(n));
    let owned = |kind: &str, of: &str, api: &str| {
        let mut meta = meta(generation.clone());
        meta["ownerReferences"] = owned_by(of, api, &app, &namespace);
        json!({"kind": kind, "metadata": meta, "spec": {}, "status": {}})
    };
    let top =
        |kind: &str| json!({"kind": kind, "metadata": meta(app.clone()), "spec": {}, "status": {}});
    match owner_kind(n) {
        "ReplicaSet" => vec![top("Deployment"), owned("ReplicaSet", "Deployment", "apps/v1")],
        "Job" => vec![top("CronJob"), owned("Job", "CronJob", "batch/v1")],
        kind => vec![top(kind)],
    }
}

fn owner_kind(group: usize) -> &'static str {
    match group % 10 {
        7 => "StatefulSet",
        8 => "DaemonSet",
        9 => "Job",
        _ => "ReplicaSet",
    }
}

/// The name of a replica set, or of the job that a cron job began at some minute.
fn generation(group: usize) -> String {
    match owner_kind(group) {
        "Job" => format!("app-{group}-{}", 29_000_000 + group),
        _ => format!("app-{group}-{}", hash(group)),
    }
}

fn hash(n: usize) -> String {
    format!("{:x}", n.wrapping_mul(2_654_435_761) & 0xffff_ffff | 0x1000_0000)
}

fn labels(group: usize) -> Value {
    json!({
        "app.kubernetes.io/name": format!("app-{group}"),
        "app.kubernetes.io/part-of": format!("product-{}", group % 40),
        "app.kubernetes.io/version": format!("1.{}.{}", group % 30, group % 7),
        "app.kubernetes.io/managed-by": "Helm",
    })
}

fn pod(n: usize, size: Size) -> Value {
    let group = n / REPLICAS;
    let namespace = format!("team-{}", group % size.namespaces);
    let kind = owner_kind(group);
    let mut labels = labels(group);
    let (owner, api) = match kind {
        "Job" => (generation(group), "batch/v1"),
        "ReplicaSet" => {
            labels["pod-template-hash"] = json!(hash(group));
            (generation(group), "apps/v1")
        }
        _ => (format!("app-{group}"), "apps/v1"),
    };
    let node = n % size.nodes;
    let container = |name: &str| {
        json!({
            "name": name,
            "image": format!("registry.example/team/{name}-{group}:1.{}.0", group % 30),
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "LOG_LEVEL", "value": "info"},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "volumeMounts": [{"name": "kube-api-access", "readOnly": true,
                              "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        })
    };
    let names = ["app", "proxy"];
    json!({
        "kind": "Pod",
        "metadata": {
            "name": format!("{owner}-{:05x}", n.wrapping_mul(40_503) & 0xf_ffff),
            "namespace": namespace,
            "labels": labels,
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": format!("{:064x}", group)},
            "ownerReferences": owned_by(kind, api, &owner, &namespace),
            "managedFields": managed(),
        },
        "spec": {
            "nodeName": format!("node-{node}"),
            "containers": names.map(container),
            "serviceAccountName": "default",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                             "effect": "NoExecute", "tolerationSeconds": 300}],
            "volumes": [{"name": "kube-api-access", "projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]}}],
        },
        "status": pod_status(n, node, &names),
    })
}

fn pod_status(n: usize, node: usize, containers: &[&str]) -> Value {
    let container = |(at, name): (usize, &&str)| {
        json!({
            "name": name,
            "containerID": format!("containerd://{:064x}", n * 16 + at),
            "image": format!("registry.example/team/{name}"),
            "imageID": format!("registry.example/team/{name}@sha256:{n:064x}"),
            "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-20T10:00:05Z"}},
        })
    };
    let condition = |name: &str| {
        json!({"type": name, "status": "True", "lastProbeTime": null,
               "lastTransitionTime": "2026-11-20T10:00:05Z"})
    };
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let ip = format!("10.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250 + 1);
    json!({
        "phase": "Running",
        "hostIP": node_ip(node), "hostIPs": [{"ip": node_ip(node)}],
        "podIP": ip, "podIPs": [{"ip": ip}],
        "qosClass": "Burstable",
        "startTime": "2026-11-20T10:00:00Z",
        "conditions": conditions,
        "containerStatuses": containers.iter().enumerate().map(container).collect::<Vec<_>>(),
    })
}

/// Who set which field: in real pods, a good part of their length.
fn managed() -> Value {
    let fields = |part: &str, names: &[&str]| {
        let each = names.iter().map(|name| (format!("f:{name}"), json!({".": {}, "f:value": {}})));
        json!({format!("f:{part}"): each.collect::<serde_json::Map<_, _>>()})
    };
    let entry = |manager: &str, fields: Value| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1",
               "time": "2026-11-20T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    let spec =
        ["containers", "dnsPolicy", "restartPolicy", "schedulerName", "tolerations", "volumes"];
    let status =
        ["conditions", "containerStatuses", "hostIP", "phase", "podIP", "podIPs", "startTime"];
    json!([
        entry("kube-controller-manager", fields("spec", &spec)),
        entry("kubelet", fields("status", &status)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_addresses_and_containers_are_told_apart_and_owners_exist() {
        let size = Size { pods: 700, services: 300, nodes: 7, namespaces: 3 };
        let objects: Vec<_> = all(size).collect();
        let of = |kind: &str| objects.iter().filter(|o| o["kind"] == kind).collect::<Vec<_>>();
        let pods = of("Pod");
        let texts = |path: &str| -> HashSet<String> {
            pods.iter().map(|pod| pod.pointer(path).unwrap().to_string()).collect()
        };
        assert_eq!(texts("/metadata/name").len(), 700);
        assert_eq!(texts("/status/podIP").len(), 700);
        assert_eq!(texts("/status/containerStatuses/0/containerID").len(), 700);
        assert_eq!(of("Service").len(), 300);
        for pod in &pods {
            let owner = &pod["metadata"]["ownerReferences"][0];
            let kind = owner["kind"].as_str().unwrap();
            let owners = of(kind);
            let found = owners.iter().find(|o| o["metadata"]["name"] == owner["name"]).unwrap();
            assert_eq!(found["metadata"]["namespace"], pod["metadata"]["namespace"]);
        }
    }
}
