// SPDX-License-Identifier: Apache-2.0
//! What is said of a flow: its attributes, made when somebody wants them, and the metrics it feeds.
//!
//! In: a [`Flow`] and what stages found out about its ends. Out: attributes by name, in the words of Beyla.

mod dns;
mod families;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use vor_model::{EndFacts, Flow, FlowEnd, Initiator, Key, Passage, Place, Value};

use crate::Attributed;
use crate::config::AGENT_IP;
use crate::protocol_names;

pub use families::ALL as FAMILIES;

pub(crate) const TRANSPORT: Key = Key::new("transport");
pub(crate) const SRC_ADDRESS: Key = Key::new("src.address");
pub(crate) const DST_ADDRESS: Key = Key::new("dst.address");
pub(crate) const SRC_PORT: Key = Key::new("src.port");
pub(crate) const DST_PORT: Key = Key::new("dst.port");
pub(crate) const SRC_NAME: Key = Key::new("src.name");
pub(crate) const DST_NAME: Key = Key::new("dst.name");
pub(crate) const DIRECTION: Key = Key::new("direction");
/// The interface.
pub const IFACE: Key = Key::new("iface");
/// Which way the packets pass the interface.
pub const IFACE_DIRECTION: Key = Key::new("iface.direction");
pub(crate) const BYTES: Key = Key::new("bytes");
pub(crate) const PACKETS: Key = Key::new("packets");
pub(crate) const SRC_ZONE: Key = Key::new("src.zone");
pub(crate) const DST_ZONE: Key = Key::new("dst.zone");
/// The configured network of the end where packets come from.
pub const SRC_CIDR: Key = Key::new("src.cidr");
/// The configured network of the other end.
pub const DST_CIDR: Key = Key::new("dst.cidr");
pub(crate) const CLUSTER: Key = Key::new("k8s.cluster.name");
pub(crate) const SRC_NAMESPACE: Key = Key::new("k8s.src.namespace");
pub(crate) const DST_NAMESPACE: Key = Key::new("k8s.dst.namespace");
pub(crate) const SRC_OWNER: Key = Key::new("k8s.src.owner.name");
pub(crate) const DST_OWNER: Key = Key::new("k8s.dst.owner.name");
pub(crate) const SRC_OWNER_TYPE: Key = Key::new("k8s.src.owner.type");
pub(crate) const DST_OWNER_TYPE: Key = Key::new("k8s.dst.owner.type");
pub(crate) const SRC_PID: Key = Key::new("process.src.pid");
pub(crate) const DST_PID: Key = Key::new("process.dst.pid");
pub(crate) const SRC_CONTAINER_ID: Key = Key::new("container.src.id");
pub(crate) const DST_CONTAINER_ID: Key = Key::new("container.dst.id");
pub(crate) const SRC_CONTAINER: Key = Key::new("container.src.name");
pub(crate) const DST_CONTAINER: Key = Key::new("container.dst.name");
pub(crate) const INTER_ZONE_BYTES: Key = Key::new("inter.zone.bytes");
pub(crate) const ROUND_TRIP: Key = Key::new("tcp.rtt");
pub(crate) const RETRANSMITS: Key = Key::new("tcp.retransmits");
pub(crate) const RESETS: Key = Key::new("tcp.resets");
pub(crate) const ZERO_WINDOWS: Key = Key::new("tcp.zero_windows");
pub(crate) const FAILED_CONNECTS: Key = Key::new("tcp.failed_connects");

/// How resource attributes of a service call its container.
const CONTAINER_ID: Key = Key::new("container.id");
const CONTAINER_NAME: Key = Key::new("container.name");
const POD_CONTAINER_NAME: Key = Key::new("k8s.container.name");

/// An attribute and how it is made.
type Row = (Key, fn(&Flow) -> Option<Value>);

/// All attributes, in the order in which they are shown; the first ones are always there.
static ROWS: &[Row] = &[
    (TRANSPORT, |flow| Some(protocol_names::value(flow.key.protocol))),
    (SRC_ADDRESS, |flow| Some(address(flow.key.src.ip))),
    (DST_ADDRESS, |flow| Some(address(flow.key.dst.ip))),
    (SRC_PORT, |flow| Some(flow.key.src.port.into())),
    (DST_PORT, |flow| Some(flow.key.dst.port.into())),
    (SRC_NAME, |flow| Some(name(flow.key.src, &flow.src_facts))),
    (DST_NAME, |flow| Some(name(flow.key.dst, &flow.dst_facts))),
    (DIRECTION, |flow| flow.initiator.map(|initiator| direction(initiator).into())),
    (IFACE, |flow| flow.iface_name.clone().map(Value::from)),
    (BYTES, |flow| Some(flow.bytes.into())),
    (PACKETS, |flow| Some(flow.packets.into())),
    (IFACE_DIRECTION, |flow| Some(passage(flow.key.passage).into())),
    (AGENT_IP, |flow| flow.agent.clone().map(Value::from)),
    (Key::new("client.port"), |flow| Some(asking(flow)?.port.into())),
    (Key::new("server.port"), |flow| Some(answering(flow)?.port.into())),
    (Key::new("network.type"), |flow| Some(version(flow.key.src.ip).into())),
    (Key::new("vlan.id"), |flow| flow.vlan.map(Value::from)),
    (SRC_CIDR, |flow| flow.src_facts.cidr.clone().map(Value::from)),
    (DST_CIDR, |flow| flow.dst_facts.cidr.clone().map(Value::from)),
    (SRC_ZONE, |flow| text(&place(&flow.src_facts)?.zone)),
    (DST_ZONE, |flow| text(&place(&flow.dst_facts)?.zone)),
    (Key::new("service.name"), |flow| text(&flow.src_facts.service.as_ref()?.name)),
    (Key::new("service.namespace"), |flow| text(&flow.src_facts.service.as_ref()?.namespace)),
    (Key::new("service.peer.name"), |flow| text(&flow.dst_facts.service.as_ref()?.name)),
    (Key::new("service.peer.namespace"), |flow| text(&flow.dst_facts.service.as_ref()?.namespace)),
    (SRC_PID, |flow| Some(i64::from(flow.src_process?.pid).into())),
    (DST_PID, |flow| Some(i64::from(flow.dst_process?.pid).into())),
    (SRC_CONTAINER_ID, |flow| container(&flow.src_facts, &[CONTAINER_ID])),
    (DST_CONTAINER_ID, |flow| container(&flow.dst_facts, &[CONTAINER_ID])),
    (SRC_CONTAINER, |flow| container(&flow.src_facts, &[POD_CONTAINER_NAME, CONTAINER_NAME])),
    (DST_CONTAINER, |flow| container(&flow.dst_facts, &[POD_CONTAINER_NAME, CONTAINER_NAME])),
    (CLUSTER, |flow| {
        let ends = [&flow.src_facts, &flow.dst_facts];
        ends.into_iter().filter_map(place).find_map(|place| text(&place.cluster))
    }),
    (SRC_NAMESPACE, |flow| text(&place(&flow.src_facts)?.namespace)),
    (DST_NAMESPACE, |flow| text(&place(&flow.dst_facts)?.namespace)),
    (SRC_OWNER, |flow| text(&place(&flow.src_facts)?.owner_name)),
    (DST_OWNER, |flow| text(&place(&flow.dst_facts)?.owner_name)),
    (SRC_OWNER_TYPE, |flow| text(&place(&flow.src_facts)?.owner_kind)),
    (DST_OWNER_TYPE, |flow| text(&place(&flow.dst_facts)?.owner_kind)),
    (Key::new("k8s.src.name"), |flow| text(&place(&flow.src_facts)?.name)),
    (Key::new("k8s.dst.name"), |flow| text(&place(&flow.dst_facts)?.name)),
    (Key::new("k8s.src.type"), |flow| Some(place(&flow.src_facts)?.kind.into())),
    (Key::new("k8s.dst.type"), |flow| Some(place(&flow.dst_facts)?.kind.into())),
    (Key::new("k8s.src.node.name"), |flow| text(&place(&flow.src_facts)?.node_name)),
    (Key::new("k8s.dst.node.name"), |flow| text(&place(&flow.dst_facts)?.node_name)),
    (Key::new("k8s.src.node.ip"), |flow| place(&flow.src_facts)?.node_ip.map(address)),
    (Key::new("k8s.dst.node.ip"), |flow| place(&flow.dst_facts)?.node_ip.map(address)),
    (ROUND_TRIP, |flow| Some(Value::Float(flow.tcp.round_trip?.as_secs_f64()))),
    (RETRANSMITS, |flow| some(flow.tcp.retransmits)),
    (RESETS, |flow| some(flow.tcp.resets)),
    (ZERO_WINDOWS, |flow| some(flow.tcp.zero_windows)),
    (FAILED_CONNECTS, |flow| some(flow.tcp.failed_connects)),
];

/// Attributes that every line about a flow has, known or not.
const ALWAYS: usize = 11;

impl Attributed for Flow {
    fn attribute(&self, key: &Key) -> Option<Cow<'_, Value>> {
        if *key == INTER_ZONE_BYTES {
            return between_zones(self).then(|| Cow::Owned(self.bytes.into()));
        }
        let row = ROWS.iter().find(|(known, _)| known == key)?;
        row.1(self).map(Cow::Owned)
    }
}

/// The attribute that `name` means, in its OpenTelemetry or Prometheus spelling.
#[must_use]
pub fn key(name: &str) -> Option<Key> {
    let plain = |c: char| if c == '.' { '_' } else { c };
    let same = |key: &Key| key.as_str().chars().map(plain).eq(name.chars().map(plain));
    ROWS.iter().map(|(key, _)| key).find(|key| same(key)).cloned()
}

/// All attributes of `flow`, in order: those that each flow has, empty where not known, and further ones that are
/// known.
pub fn attributes(flow: &Flow) -> impl Iterator<Item = (&'static Key, Value)> {
    ROWS.iter().enumerate().filter_map(move |(at, (key, make))| match make(flow) {
        Some(value) => Some((key, value)),
        None => (at < ALWAYS).then_some((key, Value::Word(""))),
    })
}

fn address(ip: IpAddr) -> Value {
    ip.to_string().into()
}

/// Who it is, by the best name that is known: Kubernetes, DNS, the address itself.
fn name(end: FlowEnd, facts: &EndFacts) -> Value {
    let workload = facts.workload.as_ref().map(|workload| match &workload.place {
        Some(place) => &place.name,
        None => &workload.name,
    });
    let known = workload.filter(|name| !name.is_empty()).or(facts.host.as_ref());
    known.map_or_else(|| address(end.ip), |name| Arc::clone(name).into())
}

fn place(facts: &EndFacts) -> Option<&Place> {
    facts.workload.as_ref()?.place.as_ref()
}

/// The first of `keys` that is known of the container in which an end's process runs.
fn container(facts: &EndFacts, keys: &[Key]) -> Option<Value> {
    let attrs = &facts.service.as_ref()?.attrs;
    keys.iter().find_map(|key| attrs.get(key)).cloned()
}

/// Whether both ends are in zones, and not in the same. One that is not known is not another one.
fn between_zones(flow: &Flow) -> bool {
    let zone = |facts| place(facts).map(|place| &place.zone).filter(|zone| !zone.is_empty());
    match (zone(&flow.src_facts), zone(&flow.dst_facts)) {
        (Some(src), Some(dst)) => src != dst,
        _ => false,
    }
}

const fn asking(flow: &Flow) -> Option<FlowEnd> {
    match flow.initiator {
        Some(Initiator::Src) => Some(flow.key.src),
        Some(Initiator::Dst) => Some(flow.key.dst),
        None => None,
    }
}

const fn answering(flow: &Flow) -> Option<FlowEnd> {
    match flow.initiator {
        Some(Initiator::Src) => Some(flow.key.dst),
        Some(Initiator::Dst) => Some(flow.key.src),
        None => None,
    }
}

const fn direction(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Src => "request",
        Initiator::Dst => "response",
    }
}

const fn passage(passage: Passage) -> &'static str {
    match passage {
        Passage::Ingress => "ingress",
        Passage::Egress => "egress",
    }
}

const fn version(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    }
}

fn text(text: &Arc<str>) -> Option<Value> {
    (!text.is_empty()).then(|| Arc::clone(text).into())
}

fn some(count: u32) -> Option<Value> {
    (count > 0).then(|| Value::Int(count.into()))
}
