// SPDX-License-Identifier: Apache-2.0
//! What is said of an object: names by OpenTelemetry's rules for Kubernetes (semantic conventions 1.38, "Specify
//! resource attributes using Kubernetes annotations"), attributes, and where it is.
//!
//! A service's name, strongest first: the pod's annotation, the configured template, its labels, the name of what owns it at the top of the
//! chain, its own.

use std::sync::Arc;

use vor_model::{Attrs, Key, Place, Workload};

use super::object::{Container, Job, Kind, Meta, Node, Object, Pod};
use super::rules::{ANNOTATION, ROLLOUT_HASH, Rules, TEMPLATE_HASH};
use crate::container::image;

const CLUSTER_NAME: Key = Key::new("k8s.cluster.name");
const NAMESPACE_NAME: Key = Key::new("k8s.namespace.name");
const NODE_NAME: Key = Key::new("k8s.node.name");
const SERVICE_OBJECT: Key = Key::new("k8s.service.name");
const POD_NAME: Key = Key::new("k8s.pod.name");
const POD_UID: Key = Key::new("k8s.pod.uid");
const POD_START: Key = Key::new("k8s.pod.start_time");
const CONTAINER_NAME: Key = Key::new("k8s.container.name");
const OWNER_NAME: Key = Key::new("k8s.owner.name");
const OWNER_KIND: Key = Key::new("k8s.kind");
const HOST_ID: Key = Key::new("host.id");
const SERVICE_VERSION: Key = Key::new("service.version");
const INSTANCE: Key = Key::new("service.instance.id");

/// What Prometheus is told of a pod with each metric of its services, as it has no resources.
pub static METRIC_LABELS: [Key; 15] = [
    NAMESPACE_NAME,
    POD_NAME,
    CONTAINER_NAME,
    Key::new("k8s.deployment.name"),
    Key::new("k8s.replicaset.name"),
    Key::new("k8s.daemonset.name"),
    Key::new("k8s.statefulset.name"),
    Key::new("k8s.cronjob.name"),
    Key::new("k8s.job.name"),
    NODE_NAME,
    POD_UID,
    POD_START,
    CLUSTER_NAME,
    OWNER_NAME,
    OWNER_KIND,
];

/// Digits at the end of the name of a cron job's job: the minute it was scheduled for, since 1970.
const MINUTE_DIGITS: usize = 8;

/// What else must be known to describe an object.
pub(super) struct Around<'a> {
    pub(super) rules: &'a Rules,
    pub(super) cluster: &'a Arc<str>,
    /// The node of a pod.
    pub(super) node: Option<&'a Node>,
    /// The job that owns a pod.
    pub(super) job: Option<&'a Job>,
}

/// An owner: its kind and name.
type Link = (Arc<str>, Arc<str>);

/// What stands behind an address of `object`.
pub(super) fn describe(object: &Object, around: &Around<'_>) -> Workload {
    match object {
        Object::Pod(pod) => describe_pod(pod, None, around),
        Object::Node(node) => {
            let mut attrs = cluster(around);
            attrs.set(NODE_NAME, Arc::clone(&node.meta.name));
            plain(object, "node", attrs, node.zone(), around)
        }
        Object::Service(_) | Object::Job(_) => {
            let mut attrs = cluster(around);
            attrs.set(NAMESPACE_NAME, Arc::clone(&object.meta().namespace));
            if object.kind() == Kind::Service {
                attrs.set(SERVICE_OBJECT, Arc::clone(&object.meta().name));
            }
            plain(object, "service", attrs, Arc::default(), around)
        }
    }
}

/// A process in `container` of `pod`.
pub(super) fn describe_container(
    pod: &Pod,
    container: &Container,
    around: &Around<'_>,
) -> Workload {
    let mut workload = describe_pod(pod, Some(container), around);
    let attrs = &mut workload.attrs;
    attrs.set(CONTAINER_NAME, Arc::clone(&container.name));
    image::describe(attrs, &container.id, &container.image);
    if let Some(node) = around.node.filter(|node| !node.machine_id.is_empty()) {
        attrs.set(HOST_ID, Arc::clone(&node.machine_id));
    }
    if attrs.get(&SERVICE_VERSION).is_none()
        && let Some(tag) = image::tag(&container.image)
    {
        attrs.set(SERVICE_VERSION, tag.to_owned());
    }
    if attrs.get(&INSTANCE).is_none() {
        let Meta { name, namespace, .. } = &pod.meta;
        attrs.set(INSTANCE, format!("{namespace}.{name}.{}", container.name));
    }
    workload
}

/// A pod, or what runs in one of its containers.
fn describe_pod(pod: &Pod, container: Option<&Container>, around: &Around<'_>) -> Workload {
    let meta = &pod.meta;
    let owners = owners(pod, around.job);
    let attrs = attributes(pod, &owners, around);
    let (name, named_by) = name(pod, container, &owners, around.rules);
    let namespace = annotation(meta, "service.namespace")
        .or_else(|| around.rules.label("service.namespace", meta))
        .unwrap_or(&meta.namespace);
    let (owner_kind, owner_name) = match owners.last() {
        Some((kind, name)) => (Arc::clone(kind), Arc::clone(name)),
        None => (Kind::Pod.as_str().into(), Arc::clone(&meta.name)),
    };
    Workload {
        name,
        namespace: Arc::clone(namespace),
        named_by,
        place: Some(Place {
            kind: Kind::Pod.as_str(),
            name: Arc::clone(&meta.name),
            namespace: Arc::clone(&meta.namespace),
            owner_kind,
            owner_name,
            node_name: Arc::clone(&pod.node),
            node_ip: pod.host_ip,
            zone: around.node.map(Node::zone).unwrap_or_default(),
            cluster: Arc::clone(around.cluster),
        }),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        attrs,
    }
}

fn attributes(pod: &Pod, owners: &[Link], around: &Around<'_>) -> Attrs {
    let meta = &pod.meta;
    let mut attrs = cluster(around);
    for (key, value) in [
        (NAMESPACE_NAME, &meta.namespace),
        (POD_NAME, &meta.name),
        (POD_UID, &meta.uid),
        (POD_START, &pod.started),
        (NODE_NAME, &pod.node),
    ] {
        if !value.is_empty() {
            attrs.set(key, Arc::clone(value));
        }
    }
    for (kind, name) in owners {
        if let Some((key, _)) = owner_words(kind) {
            attrs.set(key, Arc::clone(name));
        }
    }
    let (kind, name) = match owners.last() {
        Some((kind, name)) => (Arc::clone(kind), name),
        None => (Kind::Pod.as_str().into(), &meta.name),
    };
    attrs.set(OWNER_NAME, Arc::clone(name));
    attrs.set(OWNER_KIND, kind);
    for (attribute, value) in around.rules.labelled(meta) {
        attrs.set(Key::from(attribute.to_owned()), Arc::clone(value));
    }
    for (key, value) in meta.annotations.iter() {
        if let Some(attribute) = key.strip_prefix(ANNOTATION).filter(|key| !key.is_empty()) {
            attrs.set(Key::from(attribute.to_owned()), Arc::clone(value));
        }
    }
    // These two are fields of a workload.
    attrs.remove(&Key::new("service.name"));
    attrs.remove(&Key::new("service.namespace"));
    attrs
}

fn name(
    pod: &Pod,
    container: Option<&Container>,
    owners: &[Link],
    rules: &Rules,
) -> (Arc<str>, &'static str) {
    let meta = &pod.meta;
    if let Some(name) = annotation(meta, "service.name") {
        return (Arc::clone(name), "annotation");
    }
    if let Some(name) = rules.templated(pod, container) {
        return (name, "template");
    }
    if let Some(name) = rules.label("service.name", meta) {
        return (Arc::clone(name), "label");
    }
    match owners.last() {
        Some((kind, name)) => {
            (Arc::clone(name), owner_words(kind).map_or("owner", |(_, word)| word))
        }
        None => (Arc::clone(&meta.name), "pod"),
    }
}

fn annotation<'a>(meta: &'a Meta, attribute: &str) -> Option<&'a Arc<str>> {
    let mut known = meta.annotations.iter();
    let found = known.find(|(key, _)| key.strip_prefix(ANNOTATION) == Some(attribute));
    found.map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// What owns a pod, from the next to the top of the chain.
fn owners(pod: &Pod, job: Option<&Job>) -> Vec<Link> {
    // A static pod is owned by its node, which says nothing about the service.
    let Some(owner) = pod.meta.owner.as_ref().filter(|owner| *owner.kind != *"Node") else {
        return Vec::new();
    };
    let above = match &*owner.kind {
        "ReplicaSet" => deployment(pod, &owner.name),
        "Job" => cron_job(&owner.name, job),
        _ => None,
    };
    let next = (Arc::clone(&owner.kind), Arc::clone(&owner.name));
    [Some(next), above].into_iter().flatten().collect()
}

/// What owns a replica set: it is called after it and the hash that its pods have in a label, so nobody needs to watch
/// replica sets.
fn deployment(pod: &Pod, replica_set: &str) -> Option<Link> {
    [(TEMPLATE_HASH, "Deployment"), (ROLLOUT_HASH, "Rollout")].into_iter().find_map(
        |(key, kind)| {
            let hash = pod.meta.labels.get(key)?;
            let name = replica_set.strip_suffix(&**hash)?.strip_suffix('-')?;
            (!name.is_empty()).then(|| (kind.into(), name.into()))
        },
    )
}

/// What owns a job. One that is not known is a cron job's if its name says so.
fn cron_job(name: &str, job: Option<&Job>) -> Option<Link> {
    if let Some(job) = job {
        let owner = job.meta.owner.as_ref()?;
        return Some((Arc::clone(&owner.kind), Arc::clone(&owner.name)));
    }
    let (cron_job, minute) = name.rsplit_once('-')?;
    let scheduled = minute.len() == MINUTE_DIGITS && minute.bytes().all(|b| b.is_ascii_digit());
    (scheduled && !cron_job.is_empty()).then(|| ("CronJob".into(), cron_job.into()))
}

/// The attribute for an owner's name, and the rule it is for a service's name.
fn owner_words(kind: &str) -> Option<(Key, &'static str)> {
    Some(match kind {
        "Deployment" => (Key::new("k8s.deployment.name"), "deployment"),
        "ReplicaSet" => (Key::new("k8s.replicaset.name"), "replicaset"),
        "StatefulSet" => (Key::new("k8s.statefulset.name"), "statefulset"),
        "DaemonSet" => (Key::new("k8s.daemonset.name"), "daemonset"),
        "CronJob" => (Key::new("k8s.cronjob.name"), "cronjob"),
        "Job" => (Key::new("k8s.job.name"), "job"),
        _ => return None,
    })
}

fn cluster(around: &Around<'_>) -> Attrs {
    let mut attrs = Attrs::new();
    if !around.cluster.is_empty() {
        attrs.set(CLUSTER_NAME, Arc::clone(around.cluster));
    }
    attrs
}

/// An object that nothing owns and that runs nowhere.
fn plain(
    object: &Object,
    named_by: &'static str,
    attrs: Attrs,
    zone: Arc<str>,
    around: &Around<'_>,
) -> Workload {
    let Meta { name, namespace, .. } = object.meta();
    Workload {
        name: Arc::clone(name),
        namespace: Arc::clone(namespace),
        named_by,
        place: Some(Place {
            kind: object.kind().as_str(),
            name: Arc::clone(name),
            namespace: Arc::clone(namespace),
            owner_kind: object.kind().as_str().into(),
            owner_name: Arc::clone(name),
            node_name: Arc::default(),
            node_ip: None,
            zone,
            cluster: Arc::clone(around.cluster),
        }),
        attrs,
        ..Workload::default()
    }
}
