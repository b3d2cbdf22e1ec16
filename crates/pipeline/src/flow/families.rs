// SPDX-License-Identifier: Apache-2.0
//! The metrics that flows and DNS answers feed: Beyla's and OBI's names, our own where they have none.

use std::sync::Arc;
use std::time::Duration;

use vor_model::{Exemplar, Family, Flow, Group, Instrument, Key, Measure, Service};

use super::dns;
use super::{
    BYTES, CLUSTER, DIRECTION, DST_ADDRESS, DST_CIDR, DST_CONTAINER, DST_CONTAINER_ID, DST_NAME,
    DST_NAMESPACE, DST_OWNER, DST_OWNER_TYPE, DST_PID, DST_PORT, DST_ZONE, FAILED_CONNECTS, IFACE,
    IFACE_DIRECTION, INTER_ZONE_BYTES, PACKETS, RESETS, RETRANSMITS, ROUND_TRIP, SRC_ADDRESS,
    SRC_CIDR, SRC_CONTAINER, SRC_CONTAINER_ID, SRC_NAME, SRC_NAMESPACE, SRC_OWNER, SRC_OWNER_TYPE,
    SRC_PID, SRC_PORT, SRC_ZONE, TRANSPORT, ZERO_WINDOWS,
};
use crate::Measured;
use crate::config::AGENT_IP;

/// Upper bounds for round-trip times, seconds.
const ROUND_TRIP_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

const FLOW_LABELS: &[Key] = &[
    DIRECTION,
    SRC_OWNER,
    SRC_OWNER_TYPE,
    SRC_NAMESPACE,
    DST_OWNER,
    DST_OWNER_TYPE,
    DST_NAMESPACE,
    CLUSTER,
];

const ZONE_LABELS: &[Key] = &[CLUSTER, SRC_ZONE, DST_ZONE];

const STAT_LABELS: &[Key] = &[
    SRC_ADDRESS,
    DST_ADDRESS,
    SRC_OWNER,
    SRC_OWNER_TYPE,
    SRC_NAMESPACE,
    DST_OWNER,
    DST_OWNER_TYPE,
    DST_NAMESPACE,
    CLUSTER,
];

/// What every family has when it is asked for, beside its own labels.
const OPTIONAL: &[Key] = &[
    TRANSPORT,
    SRC_ADDRESS,
    DST_ADDRESS,
    SRC_PORT,
    DST_PORT,
    SRC_NAME,
    DST_NAME,
    DIRECTION,
    IFACE,
    IFACE_DIRECTION,
    AGENT_IP,
    Key::new("client.port"),
    Key::new("server.port"),
    Key::new("network.type"),
    Key::new("vlan.id"),
    SRC_CIDR,
    DST_CIDR,
    SRC_ZONE,
    DST_ZONE,
    Key::new("service.name"),
    Key::new("service.namespace"),
    Key::new("service.peer.name"),
    Key::new("service.peer.namespace"),
    SRC_PID,
    DST_PID,
    SRC_CONTAINER_ID,
    DST_CONTAINER_ID,
    SRC_CONTAINER,
    DST_CONTAINER,
    CLUSTER,
    SRC_OWNER,
    SRC_OWNER_TYPE,
    SRC_NAMESPACE,
    DST_OWNER,
    DST_OWNER_TYPE,
    DST_NAMESPACE,
    Key::new("k8s.src.name"),
    Key::new("k8s.dst.name"),
    Key::new("k8s.src.type"),
    Key::new("k8s.dst.type"),
    Key::new("k8s.src.node.name"),
    Key::new("k8s.dst.node.name"),
    Key::new("k8s.src.node.ip"),
    Key::new("k8s.dst.node.ip"),
];

/// How a family adds up.
const SUM: Instrument = Instrument::Sum;
const ROUND_TRIPS: Instrument = Instrument::Histogram(ROUND_TRIP_BUCKETS);

/// Every family of flows and DNS answers; those that flows feed come first.
pub static ALL: &[&Family] = &[
    &family("network.flow.bytes", FLOW, "{bytes}", SUM, BYTES, "Bytes of network flows"),
    &family(
        "network.flow.packets",
        FLOW_PACKETS,
        "{packets}",
        SUM,
        PACKETS,
        "Packets of network flows",
    ),
    &family(
        "network.inter.zone.bytes",
        ZONES,
        "{bytes}",
        SUM,
        INTER_ZONE_BYTES,
        "Bytes of network flows from one zone to another",
    ),
    &family(
        "stat.tcp.rtt",
        STATS,
        "s",
        ROUND_TRIPS,
        ROUND_TRIP,
        "Smoothed round-trip times of TCP connections",
    ),
    &family(
        "stat.tcp.retransmits",
        STATS,
        "{segments}",
        SUM,
        RETRANSMITS,
        "TCP segments that were sent again",
    ),
    &family(
        "stat.tcp.failed.connections",
        STATS,
        "{connections}",
        SUM,
        FAILED_CONNECTS,
        "Attempts to connect over TCP that failed",
    ),
    &family(
        "stat.tcp.resets",
        STATS,
        "{segments}",
        SUM,
        RESETS,
        "TCP segments that reset a connection",
    ),
    &family(
        "stat.tcp.zero.windows",
        STATS,
        "{segments}",
        SUM,
        ZERO_WINDOWS,
        "TCP segments that said that there is no room for more",
    ),
    &dns::LOOKUPS,
];

/// Those that a flow feeds.
static OF_FLOWS: &[&Family] = match ALL.split_last() {
    Some((_answers, flows)) => flows,
    None => ALL,
};

/// Who asks for a family, and the labels it has then.
type Wanted = (Group, &'static [Key]);

const FLOW: Wanted = (Group::Network, FLOW_LABELS);
const FLOW_PACKETS: Wanted = (Group::NetworkPackets, FLOW_LABELS);
const ZONES: Wanted = (Group::InterZone, ZONE_LABELS);
const STATS: Wanted = (Group::Stats, STAT_LABELS);

const fn family(
    name: &'static str,
    (group, labels): Wanted,
    unit: &'static str,
    instrument: Instrument,
    of: Key,
    help: &'static str,
) -> Family {
    Family {
        name,
        standard: false,
        group,
        unit,
        help,
        instrument,
        measure: Measure::Attribute(of),
        labels,
        optional: OPTIONAL,
    }
}

impl Measured for Flow {
    fn families(&self) -> &'static [&'static Family] {
        OF_FLOWS
    }

    fn service(&self) -> Option<&Arc<Service>> {
        None
    }

    fn protocol(&self) -> &'static str {
        ""
    }

    fn duration(&self) -> Duration {
        self.time.duration()
    }

    fn exemplar(&self, _value: f64) -> Option<Exemplar> {
        None
    }
}
