// SPDX-License-Identifier: Apache-2.0
//! Objects as they are told: encoded by the cache, read by agents.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use vor_model::Labels;

use super::proto;
use crate::kube::object::{Container, Job, Kind, Meta, Node, Object, Owner, Pod, Service};
use crate::kube::rules::reads_annotation;
use crate::kube::store::Store;

/// Why told bytes are no object.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// They are not what the protocol says.
    #[error("the shared cache told bytes that cannot be read: {0}")]
    Bytes(#[from] prost::DecodeError),
    /// Something that every object has is not there.
    #[error("the shared cache told an object without {0}")]
    Missing(&'static str),
}

pub(super) const fn kind_told(kind: Kind) -> proto::Kind {
    match kind {
        Kind::Pod => proto::Kind::Pod,
        Kind::Service => proto::Kind::Service,
        Kind::Node => proto::Kind::Node,
        Kind::Job => proto::Kind::Job,
    }
}

pub(super) const fn kind_of(kind: proto::Kind) -> Option<Kind> {
    match kind {
        proto::Kind::Unspecified => None,
        proto::Kind::Pod => Some(Kind::Pod),
        proto::Kind::Service => Some(Kind::Service),
        proto::Kind::Node => Some(Kind::Node),
        proto::Kind::Job => Some(Kind::Job),
    }
}

/// The whole object.
pub(super) fn encode(object: &Object) -> Bytes {
    let of = match object {
        Object::Pod(pod) => proto::object::Of::Pod(encode_pod(pod)),
        Object::Service(service) => {
            proto::object::Of::Service(proto::Service { ips: encode_ips(&service.ips) })
        }
        Object::Node(node) => proto::object::Of::Node(proto::Node {
            ips: encode_ips(&node.ips),
            provider_id: node.provider_id.to_string(),
            machine_id: node.machine_id.to_string(),
        }),
        Object::Job(_) => proto::object::Of::Job(proto::Job {}),
    };
    let told = proto::Object { meta: Some(encode_meta(object.meta())), of: Some(of) };
    told.encode_to_vec().into()
}

/// What names the addresses of a pod to those who do not run it.
pub(super) fn encode_cut(pod: &Pod) -> Bytes {
    let mut pod = pod.clone();
    pod.containers = Box::default();
    pod.meta.annotations.retain(reads_annotation);
    encode(&Object::Pod(pod))
}

fn encode_meta(meta: &Meta) -> proto::Meta {
    let texts = |texts: &Labels| {
        let text = |(key, value): (&Arc<str>, &Arc<str>)| proto::Text {
            key: key.to_string(),
            value: value.to_string(),
        };
        texts.iter().map(text).collect()
    };
    proto::Meta {
        uid: meta.uid.to_string(),
        name: meta.name.to_string(),
        namespace: meta.namespace.to_string(),
        owner: meta.owner.as_ref().map(|owner| proto::Owner {
            kind: owner.kind.to_string(),
            name: owner.name.to_string(),
            uid: owner.uid.to_string(),
        }),
        labels: texts(&meta.labels),
        annotations: texts(&meta.annotations),
    }
}

fn encode_pod(pod: &Pod) -> proto::Pod {
    let container = |container: &Container| proto::Container {
        name: container.name.to_string(),
        id: container.id.to_string(),
        image: container.image.to_string(),
    };
    proto::Pod {
        node: pod.node.to_string(),
        ips: encode_ips(&pod.ips),
        host_ip: pod.host_ip.map(encode_ip).unwrap_or_default(),
        host_network: pod.host_network,
        ended: pod.ended,
        started: pod.started.to_string(),
        containers: pod.containers.iter().map(container).collect(),
    }
}

fn encode_ips(ips: &[IpAddr]) -> Vec<Bytes> {
    ips.iter().copied().map(encode_ip).collect()
}

fn encode_ip(ip: IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    }
}

/// The object that bytes tell, its texts shared with those of `store`.
pub(super) fn decode(bytes: &[u8], store: &Store) -> Result<Object, Unreadable> {
    let told = proto::Object::decode(bytes)?;
    let meta = decode_meta(&told.meta.unwrap_or_default(), store)?;
    Ok(match told.of.ok_or(Unreadable::Missing("its kind"))? {
        proto::object::Of::Pod(pod) => Object::Pod(decode_pod(&pod, meta, store)),
        proto::object::Of::Service(service) => {
            Object::Service(Service { meta, ips: decode_ips(&service.ips) })
        }
        proto::object::Of::Node(node) => Object::Node(Node {
            meta,
            ips: decode_ips(&node.ips),
            provider_id: store.word(&node.provider_id),
            machine_id: store.word(&node.machine_id),
        }),
        proto::object::Of::Job(_) => Object::Job(Job { meta }),
    })
}

fn decode_meta(meta: &proto::Meta, store: &Store) -> Result<Meta, Unreadable> {
    if meta.uid.is_empty() {
        return Err(Unreadable::Missing("a uid"));
    }
    if meta.name.is_empty() {
        return Err(Unreadable::Missing("a name"));
    }
    let texts = |texts: &[proto::Text]| {
        Labels::new(texts.iter().map(|t| (store.word(&t.key), store.word(&t.value))).collect())
    };
    Ok(Meta {
        uid: meta.uid.as_str().into(),
        name: store.word(&meta.name),
        namespace: store.word(&meta.namespace),
        owner: meta.owner.as_ref().map(|owner| Owner {
            kind: store.word(&owner.kind),
            name: store.word(&owner.name),
            uid: store.word(&owner.uid),
        }),
        labels: texts(&meta.labels),
        annotations: texts(&meta.annotations),
    })
}

fn decode_pod(pod: &proto::Pod, meta: Meta, store: &Store) -> Pod {
    let container = |container: &proto::Container| Container {
        name: store.word(&container.name),
        id: container.id.as_str().into(),
        image: store.word(&container.image),
    };
    Pod {
        meta,
        node: store.word(&pod.node),
        ips: decode_ips(&pod.ips),
        host_ip: decode_ip(&pod.host_ip),
        host_network: pod.host_network,
        ended: pod.ended,
        started: store.word(&pod.started),
        containers: pod.containers.iter().map(container).collect(),
    }
}

fn decode_ips(ips: &[Bytes]) -> Box<[IpAddr]> {
    ips.iter().filter_map(|ip| decode_ip(ip)).collect()
}

fn decode_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).into())).ok()
}
