// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;
use std::time::Duration;

use vor_health::Board;
use vor_model::{Group, Mono, Number, TcpStats};

use super::sample::{flow, host, pod};
use super::*;
use crate::{FamilyPoints, Meter, MeterConfig};

fn said(flow: &Flow, name: &str) -> Option<String> {
    flow.attribute(&key(name).unwrap()).map(|value| value.to_string())
}

/// From a pod in zone a to one in zone b.
fn between(src_zone: &str, dst_zone: &str) -> Flow {
    let mut flow = flow("10.0.0.1:40000", "10.0.0.2:80");
    flow.src_facts.workload = Some(pod("web", src_zone));
    flow.dst_facts.workload = Some(pod("db", dst_zone));
    flow
}

#[test]
fn a_line_has_its_first_attributes_whatever_is_known() {
    let mut bare = flow("[fd00::1]:1", "[fd00::2]:2");
    (bare.initiator, bare.iface_name, bare.key.protocol) = (None, None, 200);
    let line: Vec<_> = attributes(&bare).map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        line,
        [
            "transport=200",
            "src.address=fd00::1",
            "dst.address=fd00::2",
            "src.port=1",
            "dst.port=2",
            "src.name=fd00::1",
            "dst.name=fd00::2",
            "direction=",
            "iface=",
            "bytes=140",
            "packets=2",
            "iface.direction=egress",
            "network.type=ipv6",
        ]
    );
}

#[test]
fn the_best_name_wins() {
    let mut flow = flow("10.0.0.1:1", "10.0.0.2:2");
    assert_eq!(said(&flow, "src.name").as_deref(), Some("10.0.0.1"));
    flow.src_facts.host = Some("one.test".into());
    assert_eq!(said(&flow, "src_name").as_deref(), Some("one.test"));
    flow.src_facts.workload = Some(pod("web", "a"));
    assert_eq!(said(&flow, "src.name").as_deref(), Some("web-abc"));
    flow.src_facts.workload = Some(host("named"));
    assert_eq!(said(&flow, "src.name").as_deref(), Some("named"));
}

#[test]
fn ports_have_parts_when_it_is_known_who_began() {
    let mut flow = flow("10.0.0.1:40000", "10.0.0.2:80");
    let ports = |flow: &Flow| (said(flow, "client.port"), said(flow, "server.port"));
    for (initiator, direction, client, server) in [
        (Some(Initiator::Src), Some("request"), Some("40000"), Some("80")),
        (Some(Initiator::Dst), Some("response"), Some("80"), Some("40000")),
        (None, None, None, None),
    ] {
        flow.initiator = initiator;
        assert_eq!(said(&flow, "direction").as_deref(), direction);
        assert_eq!(ports(&flow), (client.map(str::to_owned), server.map(str::to_owned)));
    }
}

#[test]
fn both_ends_are_described() {
    let flow = between("a", "b");
    for (name, expected) in [
        ("k8s.src.owner.name", "web"),
        ("k8s.src.owner.type", "Deployment"),
        ("k8s.dst.namespace", "shop"),
        ("k8s.dst.name", "db-abc"),
        ("k8s.dst.type", "Pod"),
        ("k8s.src.node.ip", "192.0.2.9"),
        ("k8s.src.node.name", "node-1"),
        ("k8s.cluster.name", "prod"),
        ("src.zone", "a"),
        ("dst.zone", "b"),
        ("transport", "TCP"),
    ] {
        assert_eq!(said(&flow, name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn everything_that_is_shown_can_be_selected() {
    let optional: BTreeSet<_> = FAMILIES[0].optional.iter().collect();
    let numbers = [BYTES, PACKETS, ROUND_TRIP, RETRANSMITS, RESETS, ZERO_WINDOWS, FAILED_CONNECTS];
    for (key, _) in ROWS {
        assert!(optional.contains(key) != numbers.contains(key), "{key}");
    }
    assert_eq!(optional.len() + numbers.len(), ROWS.len());
    for label in FAMILIES.iter().take(8).flat_map(|family| family.labels) {
        assert!(optional.contains(label), "{label}");
    }
}

fn counted(flows: &[Flow], config: MeterConfig) -> Vec<FamilyPoints> {
    let meter = Meter::new(config, &Board::new());
    meter.record(flows, Mono(1));
    meter.snapshot(Mono(2), &|_, _| true)
}

fn sums(families: &[FamilyPoints], name: &str) -> Vec<u64> {
    let family = families.iter().filter(|family| &*family.name == name);
    let points = family.flat_map(|family| &family.points).map(|point| match point.number {
        Number::Sum(sum) => sum,
        Number::Histogram(_) => panic!("{name} is not a sum"),
    });
    points.collect()
}

#[test]
fn flows_of_the_same_labels_are_summed_up() {
    let flows = [between("a", "b"), between("a", "b"), between("a", "a"), between("a", "")];
    let families = counted(&flows, MeterConfig::default());
    assert_eq!(sums(&families, "beyla.network.flow.bytes"), [560]);
    assert_eq!(sums(&families, "beyla.network.flow.packets"), [8]);
    assert_eq!(sums(&families, "beyla.network.inter.zone.bytes"), [280], "an unknown zone is none");
    let names: Vec<_> = families.iter().map(|family| &*family.name).collect();
    assert_eq!(names.len(), 3, "nothing else has values: {names:?}");
}

#[test]
fn what_tcp_says_feeds_its_own_families() {
    let mut flow = between("a", "a");
    (flow.bytes, flow.packets) = (0, 0);
    flow.tcp = TcpStats {
        round_trip: Some(Duration::from_millis(3)),
        retransmits: 4,
        resets: 1,
        zero_windows: 0,
        failed_connects: 2,
    };
    let families = counted(&[flow], MeterConfig::default());
    assert_eq!(sums(&families, "beyla.stat.tcp.retransmits"), [4]);
    assert_eq!(sums(&families, "beyla.stat.tcp.resets"), [1]);
    assert_eq!(sums(&families, "beyla.stat.tcp.failed.connections"), [2]);
    assert!(sums(&families, "beyla.stat.tcp.zero.windows").is_empty());
    assert!(sums(&families, "beyla.network.flow.bytes").is_empty(), "no packets, no series");
    let times = families.iter().find(|family| &*family.name == "beyla.stat.tcp.rtt").unwrap();
    assert!((times.points[0].number.histogram().unwrap().sum - 0.003).abs() < 1e-12);
}

#[test]
fn only_groups_that_somebody_wants_are_counted() {
    let groups = vec![Group::InterZone];
    let families = counted(&[between("a", "b")], MeterConfig { groups, ..MeterConfig::default() });
    assert_eq!(families.len(), 1);
    assert_eq!(&*families[0].name, "beyla.network.inter.zone.bytes");
}
