// SPDX-License-Identifier: Apache-2.0
//! Objects of Kubernetes, cut to what names and selects: some hundred bytes each, their texts shared.

use std::net::IpAddr;
use std::sync::Arc;

use vor_model::Labels;

/// Kinds of objects that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Pods.
    Pod,
    /// Services.
    Service,
    /// Nodes.
    Node,
    /// Jobs, for the cron job behind them.
    Job,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Node, Self::Job, Self::Service, Self::Pod];

    /// Its name, as Kubernetes writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::Node => "Node",
            Self::Job => "Job",
        }
    }
}

/// Identity of an object while it exists. A name alone is not one: names are used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// What it is.
    pub kind: Kind,
    /// `metadata.uid`.
    pub uid: Arc<str>,
}

/// What every object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.namespace`, empty when it has none.
    pub namespace: Arc<str>,
    /// What controls it.
    pub owner: Option<Owner>,
    /// Its labels, sorted by key.
    pub labels: Labels,
    /// Its annotations, sorted by key, but for long ones.
    pub annotations: Labels,
}

/// What controls an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind (`ReplicaSet`, `Job`, …).
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Who it is.
    pub meta: Meta,
    /// The node it runs on, empty before it does.
    pub node: Arc<str>,
    /// Its addresses; those of the node when it uses the node's network.
    pub ips: Box<[IpAddr]>,
    /// Its node's address.
    pub host_ip: Option<IpAddr>,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// Whether it has run to its end, so that others may have its addresses.
    pub ended: bool,
    /// `status.startTime` as it is written (RFC 3339), empty before it has one.
    pub started: Arc<str>,
    /// Its containers, those that run before and beside the others too.
    pub containers: Box<[Container]>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name in the pod.
    pub name: Arc<str>,
    /// Its id without the runtime's prefix, empty before it has one.
    pub id: Arc<str>,
    /// The image as the pod names it.
    pub image: Arc<str>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Who it is.
    pub meta: Meta,
    /// Addresses inside and outside the cluster. None when it is headless.
    pub ips: Box<[IpAddr]>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Who it is.
    pub meta: Meta,
    /// Its addresses, the inner ones first.
    pub ips: Box<[IpAddr]>,
    /// `spec.providerID`, which tells the cloud.
    pub provider_id: Arc<str>,
    /// `status.nodeInfo.machineID`.
    pub machine_id: Arc<str>,
}

impl Node {
    /// The availability zone it is in, empty when nobody said so.
    #[must_use]
    pub fn zone(&self) -> Arc<str> {
        let labels = &self.meta.labels;
        let zone = labels.get("topology.kubernetes.io/zone");
        zone.or_else(|| labels.get("failure-domain.beta.kubernetes.io/zone"))
            .cloned()
            .unwrap_or_default()
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Who it is.
    pub meta: Meta,
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A pod.
    Pod(Pod),
    /// A service.
    Service(Service),
    /// A node.
    Node(Node),
    /// A job.
    Job(Job),
}

impl Object {
    /// Its identity.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        ObjectId { kind: self.kind(), uid: Arc::clone(&self.meta().uid) }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::Node(_) => Kind::Node,
            Self::Job(_) => Kind::Job,
        }
    }

    /// Who it is.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        match self {
            Self::Pod(pod) => &pod.meta,
            Self::Service(service) => &service.meta,
            Self::Node(node) => &node.meta,
            Self::Job(job) => &job.meta,
        }
    }

    /// Addresses that belong to it and to nobody else: a pod on the node's network has none, and neither has one
    /// that ran to its end.
    #[must_use]
    pub fn own_ips(&self) -> &[IpAddr] {
        match self {
            Self::Pod(pod) if pod.host_network || pod.ended => &[],
            Self::Pod(pod) => &pod.ips,
            Self::Service(service) => &service.ips,
            Self::Node(node) => &node.ips,
            Self::Job(_) => &[],
        }
    }
}
