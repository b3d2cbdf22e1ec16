// SPDX-License-Identifier: Apache-2.0
//! Objects as the API server writes them, as far as we read them: what is not named here is passed over without being
//! kept, managed fields above all. Every field may be missing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::{Deserialize, Deserializer};
use vor_model::Labels;

use super::object::{Container, Job, Meta, Node, Object, Owner, Pod, Service};
use super::store::Store;

/// Bytes of an annotation's value; a longer one is a document, not a word about the pod.
const MAX_VALUE: usize = 1024;
/// Labels, and annotations, of one object.
const MAX_TEXTS: usize = 128;
/// Containers of one pod, and addresses of one object.
const MAX_PARTS: usize = 256;
/// Bytes of a name.
const MAX_NAME: usize = 512;

/// An object on the wire, of the kind that `K` of the API stands for.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "S: Default + Deserialize<'de>, T: Default + Deserialize<'de>")]
pub(super) struct Seen<K, S, T> {
    #[serde(default, deserialize_with = "lean")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: S,
    #[serde(default)]
    status: T,
    #[serde(skip)]
    kind: std::marker::PhantomData<fn() -> K>,
}

pub(super) type SeenPod = Seen<core::Pod, PodSpec, PodStatus>;
pub(super) type SeenService = Seen<core::Service, ServiceSpec, ServiceStatus>;
pub(super) type SeenNode = Seen<core::Node, NodeSpec, NodeStatus>;
pub(super) type SeenJob = Seen<batch::Job, Unread, Unread>;

/// A part that is not asked for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Unread {}

impl<K, S, T> kube::Resource for Seen<K, S, T>
where
    K: kube::Resource<DynamicType = ()>,
{
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        K::kind(&())
    }
    fn group((): &()) -> std::borrow::Cow<'_, str> {
        K::group(&())
    }
    fn version((): &()) -> std::borrow::Cow<'_, str> {
        K::version(&())
    }
    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        K::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What is read of metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lean {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

fn lean<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let lean = Lean::deserialize(from)?;
    Ok(ObjectMeta {
        name: lean.name,
        namespace: lean.namespace,
        uid: lean.uid,
        resource_version: lean.resource_version,
        labels: lean.labels,
        annotations: lean.annotations,
        owner_references: lean.owner_references,
        ..ObjectMeta::default()
    })
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    node_name: Option<String>,
    host_network: bool,
    containers: Vec<ContainerSpec>,
    init_containers: Vec<ContainerSpec>,
    ephemeral_containers: Vec<ContainerSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerSpec {
    name: String,
    image: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    start_time: Option<String>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodIp {
    ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    name: String,
    image: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ingress {
    ip: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeStatus {
    addresses: Vec<Address>,
    node_info: NodeInfo,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    address: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeInfo {
    #[serde(rename = "machineID")]
    machine_id: Option<String>,
}

/// What can be kept of an object on the wire.
pub(super) trait Keep {
    /// Whether its metadata is all that is asked for.
    const METADATA_ONLY: bool = false;

    /// Its compact form. None when it has no identity.
    fn keep(&self, store: &Store) -> Option<Object>;
}

impl SeenPod {
    /// The node it runs on, when it has been given one.
    pub(super) fn node_name(self) -> Option<String> {
        self.spec.node_name
    }
}

impl Keep for SeenPod {
    fn keep(&self, store: &Store) -> Option<Object> {
        let Self { metadata, spec, status, .. } = self;
        let mut ips = addresses(status.pod_ips.iter().map(|ip| &ip.ip));
        if ips.is_empty() {
            ips = addresses(&status.pod_ip);
        }
        Some(Object::Pod(Pod {
            meta: meta(metadata, store)?,
            node: store.word(text(spec.node_name.as_deref())),
            ips,
            host_ip: status.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
            host_network: spec.host_network,
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            started: store.word(text(status.start_time.as_deref())),
            containers: containers(spec, status, store),
        }))
    }
}

impl Keep for SeenService {
    fn keep(&self, store: &Store) -> Option<Object> {
        let Self { metadata, spec, status, .. } = self;
        let ingress = status.load_balancer.ingress.iter().filter_map(|at| at.ip.as_ref());
        // "None" of a headless service is no address.
        let ips = spec.cluster_ip.iter().chain(&spec.cluster_ips).chain(&spec.external_ips);
        let ips = addresses(ips.chain(ingress));
        Some(Object::Service(Service { meta: meta(metadata, store)?, ips }))
    }
}

impl Keep for SeenNode {
    fn keep(&self, store: &Store) -> Option<Object> {
        let Self { metadata, spec, status, .. } = self;
        let mut ips = addresses(status.addresses.iter().map(|at| &at.address)).into_vec();
        ips.extend(gateways(metadata));
        Some(Object::Node(Node {
            meta: meta(metadata, store)?,
            ips: ips.into(),
            provider_id: store.word(text(spec.provider_id.as_deref())),
            machine_id: store.word(text(status.node_info.machine_id.as_deref())),
        }))
    }
}

impl Keep for SeenJob {
    const METADATA_ONLY: bool = true;

    fn keep(&self, store: &Store) -> Option<Object> {
        let mut meta = meta(&self.metadata, store)?;
        (meta.labels, meta.annotations) = (Labels::default(), Labels::default());
        Some(Object::Job(Job { meta }))
    }
}

fn meta(seen: &ObjectMeta, store: &Store) -> Option<Meta> {
    let name = seen.name.as_deref().filter(|name| !name.is_empty() && name.len() <= MAX_NAME)?;
    let uid = seen.uid.as_deref().filter(|uid| !uid.is_empty() && uid.len() <= MAX_NAME)?;
    let owners = seen.owner_references.iter().flatten();
    let owner = owners.clone().find(|owner| owner.controller == Some(true));
    let owner = owner.or_else(|| owners.clone().next());
    Some(Meta {
        uid: Arc::from(uid),
        name: store.word(name),
        namespace: store.word(text(seen.namespace.as_deref())),
        owner: owner.map(|owner| Owner {
            kind: store.word(text(Some(&owner.kind))),
            name: store.word(text(Some(&owner.name))),
            uid: store.word(text(Some(&owner.uid))),
        }),
        labels: texts(seen.labels.as_ref(), store),
        annotations: texts(seen.annotations.as_ref(), store),
    })
}

fn texts(seen: Option<&BTreeMap<String, String>>, store: &Store) -> Labels {
    let short =
        |(key, value): &(&String, &String)| key.len() <= MAX_NAME && value.len() <= MAX_VALUE;
    let pairs = seen.into_iter().flatten().filter(short).take(MAX_TEXTS);
    Labels::new(pairs.map(|(key, value)| (store.word(key), store.word(value))).collect())
}

fn containers(spec: &PodSpec, status: &PodStatus, store: &Store) -> Box<[Container]> {
    let specs =
        spec.containers.iter().chain(&spec.init_containers).chain(&spec.ephemeral_containers);
    let statuses = status.container_statuses.iter().chain(&status.init_container_statuses);
    let statuses = statuses.chain(&status.ephemeral_container_statuses).take(MAX_PARTS);
    let container = |seen: &ContainerStatus| {
        // What the pod asks for; the status may only have the image's digest.
        let asked = specs.clone().find(|known| known.name == seen.name).map(|known| &known.image);
        let image = asked.filter(|image| !image.is_empty()).unwrap_or(&seen.image);
        let id = text(seen.container_id.as_deref());
        let id = id.split_once("://").map_or(id, |(_runtime, id)| id);
        Container {
            name: store.word(text(Some(&seen.name))),
            id: Arc::from(id),
            image: store.word(text(Some(image))),
        }
    };
    statuses.map(container).collect()
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> Box<[IpAddr]> {
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in texts.into_iter().take(MAX_PARTS).filter_map(|text| text.parse().ok()) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips.into()
}

/// Addresses of a node's gateway to the networks of OVN-Kubernetes, which only an annotation tells.
fn gateways(seen: &ObjectMeta) -> Vec<IpAddr> {
    let annotations = seen.annotations.iter().flatten();
    let told = annotations.filter(|(key, _)| *key == "k8s.ovn.org/node-gateway-router-lrp-ifaddr");
    let networks =
        told.filter_map(|(_, value)| serde_json::from_str::<BTreeMap<String, String>>(value).ok());
    let address = |network: String| network.split('/').next()?.parse().ok();
    networks.flat_map(BTreeMap::into_values).filter_map(address).collect()
}

/// A text of a length that names have; a longer one is none.
fn text(seen: Option<&str>) -> &str {
    seen.filter(|text| text.len() <= MAX_NAME).unwrap_or_default()
}
