// SPDX-License-Identifier: Apache-2.0
//! The metrics that flows and DNS answers feed: Beyla's and OBI's names, our own where they have none.

use std::sync::Arc;
use std::time::Duration;

use vor_model::{Exemplar, Family, Flow, Group, Instrument, Key, Measure, Service};

use super::dns;
use super::{
    BYTES, CLUSTER, DIRECTION, DST_ADDRESS, DST_CIDR, DST_NAME, DST_NAMESPACE, DST_OWNER,
    DST_OWNER_TYPE, DST_PORT, DST_ZONE, FAILED_CONNECTS, IFACE, IFACE_DIRECTION, INTER_ZONE_BYTES,
    PACKETS, RESETS, RETRANSMITS, ROUND_TRIP, SRC_ADDRESS, SRC_CIDR, SRC_NAME, SRC_NAMESPACE,
    SRC_OWNER, SRC_OWNER_TYPE, SRC_PORT, SRC_ZONE, TRANSPORT, ZERO_WINDOWS,
};
use crate::Measured;
use crate::config::AGENT_IP;

/// Every family of flows and DNS answers.
pub static ALL: &[&Family] = &[
    &FLOW_BYTES,
    &FLOW_PACKETS,
    &INTER_ZONE,
    &TCP_ROUND_TRIP,
    &TCP_RETRANSMITS,
    &TCP_FAILED_CONNECTS,
    &TCP_RESETS,
    &TCP_ZERO_WINDOWS,
    &dns::LOOKUPS,
];

/// Those that a flow feeds.
static OF_FLOWS: &[&Family] = &[
    &FLOW_BYTES,
    &FLOW_PACKETS,
    &INTER_ZONE,
    &TCP_ROUND_TRIP,
    &TCP_RETRANSMITS,
    &TCP_FAILED_CONNECTS,
    &TCP_RESETS,
    &TCP_ZERO_WINDOWS,
];

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

const fn sum(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    of: Key,
    (group, labels): (Group, &'static [Key]),
) -> Family {
    Family {
        name,
        standard: false,
        group,
        unit,
        help,
        instrument: Instrument::Sum,
        measure: Measure::Attribute(of),
        labels,
        optional: OPTIONAL,
    }
}

static FLOW_BYTES: Family = sum(
    "network.flow.bytes",
    "{bytes}",
    "Bytes of network flows",
    BYTES,
    (Group::Network, FLOW_LABELS),
);
static FLOW_PACKETS: Family = sum(
    "network.flow.packets",
    "{packets}",
    "Packets of network flows",
    PACKETS,
    (Group::NetworkPackets, FLOW_LABELS),
);
static INTER_ZONE: Family = sum(
    "network.inter.zone.bytes",
    "{bytes}",
    "Bytes of network flows from one zone to another",
    INTER_ZONE_BYTES,
    (Group::InterZone, ZONE_LABELS),
);
static TCP_ROUND_TRIP: Family = Family {
    name: "stat.tcp.rtt",
    standard: false,
    group: Group::Stats,
    unit: "s",
    help: "Smoothed round-trip times of TCP connections",
    instrument: Instrument::Histogram(ROUND_TRIP_BUCKETS),
    measure: Measure::Attribute(ROUND_TRIP),
    labels: STAT_LABELS,
    optional: OPTIONAL,
};
static TCP_RETRANSMITS: Family = sum(
    "stat.tcp.retransmits",
    "{segments}",
    "TCP segments that were sent again",
    RETRANSMITS,
    (Group::Stats, STAT_LABELS),
);
static TCP_FAILED_CONNECTS: Family = sum(
    "stat.tcp.failed.connections",
    "{connections}",
    "Attempts to connect over TCP that failed",
    FAILED_CONNECTS,
    (Group::Stats, STAT_LABELS),
);
static TCP_RESETS: Family = sum(
    "stat.tcp.resets",
    "{segments}",
    "TCP segments that reset a connection",
    RESETS,
    (Group::Stats, STAT_LABELS),
);
static TCP_ZERO_WINDOWS: Family = sum(
    "stat.tcp.zero.windows",
    "{segments}",
    "TCP segments that said that there is no room for more",
    ZERO_WINDOWS,
    (Group::Stats, STAT_LABELS),
);

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
