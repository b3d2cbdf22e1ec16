// SPDX-License-Identifier: Apache-2.0
//! Interfaces that are no Ethernet, and that carry other interfaces' packets. What this kernel does not have is said
//! and left out; `cargo xtask vm` runs all of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod net;

use net::pcap::Capture;
use net::{Space, Sums, Tracing, config, eventually, join, offload, sums, total};
use vor_model::{Flow, Initiator, Passage};
use vor_probe::flows::{FlowConfig, GuessPorts, Source, Tunnels};

const SOURCES: [Source; 2] = [Source::SocketFilter, Source::Tc];

fn of<'a>(flows: &'a [Flow], iface: &str) -> Vec<&'a Flow> {
    flows.iter().filter(|flow| flow.iface_name.as_deref() == Some(iface)).collect()
}

/// A protocol, packets, bytes; whatever the ends.
fn by_protocol(sums: &Sums, protocol: u8) -> (u64, u64) {
    let of = sums.iter().filter(|(key, _)| key.0 == protocol);
    of.fold((0, 0), |all, (_, one)| (all.0 + one.0, all.1 + one.1))
}

#[test]
#[ignore = "needs root"]
fn root_interfaces_without_a_link_layer_are_counted_from_the_ip_header_on() {
    for source in SOURCES {
        let a = Space::new();
        a.ip("tuntap add dev t0 mode tun");
        a.run(&["sysctl", "-qw", "net.ipv6.conf.t0.disable_ipv6=1"]);
        a.ip("addr add 10.20.0.1/24 dev t0");
        a.ip("link set t0 up");
        let mut device = a.serve_lines("tun t0 30");
        let capture = Capture::start(&a, "t0");
        let tracing = Tracing::start(&a, config(source));
        a.traffic("udp 10.20.0.2 7000 30 500");
        device.hear("sent");
        let (expected, others) = capture.stop();
        let (flows, board) = tracing.stop();
        assert_eq!(sums(&flows), expected, "{source:?}");
        assert_eq!(others, (0, 0));
        let one_way = |passage| {
            let these = flows.iter().filter(|flow| flow.key.passage == passage);
            total(&sums(these.filter(|flow| flow.key.protocol == 17)))
        };
        // 500 bytes, and the headers of UDP and IPv4.
        assert_eq!(one_way(Passage::Egress), (30, 30 * 528), "{source:?}");
        assert_eq!(one_way(Passage::Ingress), (30, 30 * 528), "{source:?}");
        assert_eq!(board.counter("flow", "broken").get(), 0);
    }
}

/// Device, what makes it at the end with that number, and by how many bytes it makes a packet of its own longer.
struct Device {
    make: fn(n: u8, other: u8) -> String,
    /// The protocol by which it is seen outside; 0: its own packets with a tag.
    carried_by: u8,
    adds: u64,
}

const DEVICES: [Device; 6] = [
    Device {
        make: |n, other| {
            format!(
                "link add over type vxlan id 5 local 10.9.0.{n} remote 10.9.0.{other} dstport 4789 dev {}",
                if n == 1 { "va" } else { "vb" }
            )
        },
        carried_by: 17,
        adds: 14 + 20 + 8 + 8,
    },
    Device {
        make: |_, other| format!("link add over type geneve id 5 remote 10.9.0.{other}"),
        carried_by: 17,
        adds: 14 + 20 + 8 + 8,
    },
    Device {
        make: |n, other| {
            format!("link add over type gretap local 10.9.0.{n} remote 10.9.0.{other}")
        },
        carried_by: 47,
        adds: 14 + 20 + 4,
    },
    Device {
        make: |n, other| format!("link add over type gre local 10.9.0.{n} remote 10.9.0.{other}"),
        carried_by: 47,
        adds: 14 + 20 + 4,
    },
    Device {
        make: |n, other| format!("link add over type ipip local 10.9.0.{n} remote 10.9.0.{other}"),
        carried_by: 4,
        adds: 14 + 20,
    },
    Device {
        make: |n, _| {
            format!("link add link {} name over type vlan id 7", if n == 1 { "va" } else { "vb" })
        },
        carried_by: 0,
        adds: 4,
    },
];

#[test]
#[ignore = "needs root"]
fn root_packets_in_tunnels_count_outside_and_inside_and_as_wanted() {
    let mut had = 0;
    for (source, device) in
        SOURCES.iter().flat_map(|source| DEVICES.iter().map(move |it| (source, it)))
    {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        if !a.can(&(device.make)(1, 2)) {
            eprintln!("this kernel does not have it: {}", (device.make)(1, 2));
            continue;
        }
        had += 1;
        b.ip(&(device.make)(2, 1));
        for (space, wire, n) in [(&a, "va", 1), (&b, "vb", 2)] {
            offload(space, wire, false);
            space.run(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
            space.ip(&format!("addr add 10.30.0.{n}/24 dev over"));
            space.ip("link set over gso_max_segs 1 up");
        }
        let _server = b.serve("serve 7000");
        let (outside, inside) = (Capture::start(&a, "va"), Capture::start(&a, "over"));
        let outer = Tracing::start(&a, config(*source));
        let inner = Tracing::start(&a, FlowConfig { tunnels: Tunnels::Inner, ..config(*source) });
        a.traffic("udp 10.30.0.2 7000 40 300");
        a.traffic("tcp 10.30.0.2 7000 2 20000");
        let (outside, _) = outside.stop();
        let (inside, inside_others) = inside.stop();
        let (outer, inner) = (outer.stop().0, inner.stop().0);
        let made = (device.make)(1, 2);
        assert_eq!(sums(of(&outer, "va")), outside, "{source:?} {made}");
        assert_eq!(sums(of(&outer, "over")), inside, "{source:?} {made}");
        assert!(
            by_protocol(&inside, 17) == (40, inside_bytes(device)),
            "{source:?} {made} {inside:#?}"
        );
        // Inside, the same packets on both interfaces.
        let there = sums(of(&inner, "va"));
        for (key, (packets, bytes)) in &inside {
            let expected = (*packets, bytes + packets * device.adds);
            assert_eq!(there.get(key), Some(&expected), "{source:?} {made} {key:?}");
        }
        if device.carried_by == 0 {
            assert!(of(&outer, "va").iter().all(|flow| flow.vlan.is_none_or(|tag| tag == 7)));
            let tagged = of(&outer, "va").into_iter().filter(|flow| flow.vlan == Some(7));
            assert_eq!(total(&sums(tagged)).0, total(&inside).0, "{source:?}");
        } else {
            let carried = by_protocol(&outside, device.carried_by).0;
            assert_eq!(carried, total(&inside).0 + inside_others.0, "{source:?} {made}");
        }
    }
    assert!(had > 0, "this kernel has no tunnels at all");
}

/// Whether its own packets have no Ethernet header.
fn is_bare(device: &Device) -> bool {
    let made = (device.make)(1, 2);
    made.contains("type gre ") || made.contains("type ipip")
}

fn inside_bytes(device: &Device) -> u64 {
    40 * (300 + 28 + if is_bare(device) { 0 } else { 14 })
}

/// `wg0` of two namespaces, each other's only peer.
fn join_by_wireguard(spaces: [&Space; 2]) -> bool {
    let wg = |words: &[&str], input: &str| {
        let mut child = std::process::Command::new("wg")
            .args(words)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "wg {words:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    if !spaces[0].can("link add wg0 type wireguard") {
        return false;
    }
    spaces[1].ip("link add wg0 type wireguard");
    let keys = [(); 2].map(|()| wg(&["genkey"], ""));
    for (n, space) in spaces.into_iter().enumerate() {
        let (own, other) = (n + 1, 2 - n);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &keys[n]).unwrap();
        let (file, public) = (file.path().to_str().unwrap(), wg(&["pubkey"], &keys[1 - n]));
        let endpoint = format!("10.9.0.{other}:51820");
        space.run(
            &[
                &["wg", "set", "wg0", "listen-port", "51820", "private-key", file][..],
                &["peer", &public, "allowed-ips", "10.30.0.0/24", "endpoint", &endpoint][..],
            ]
            .concat(),
        );
        space.ip(&format!("addr add 10.30.0.{own}/24 dev wg0"));
        space.ip("link set wg0 gso_max_segs 1 up");
    }
    true
}

#[test]
#[ignore = "needs root"]
fn root_wireguard_is_counted_inside_and_outside() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        if !join_by_wireguard([&a, &b]) {
            eprintln!("this kernel does not have WireGuard");
            return;
        }
        offload(&a, "va", false);
        offload(&b, "vb", false);
        let _server = b.serve("serve 7000");
        let (outside, inside) = (Capture::start(&a, "va"), Capture::start(&a, "wg0"));
        let tracing = Tracing::start(&a, config(source));
        a.traffic("udp 10.30.0.2 7000 40 300");
        a.traffic("tcp 10.30.0.2 7000 2 20000");
        let ((outside, _), (inside, _)) = (outside.stop(), inside.stop());
        let (flows, _) = tracing.stop();
        assert_eq!(sums(of(&flows, "wg0")), inside, "{source:?}");
        assert_eq!(sums(of(&flows, "va")), outside, "{source:?}");
        assert_eq!(by_protocol(&inside, 17), (40, 40 * 328), "{source:?}");
        let outer = |key: &&(u8, String, String)| key.0 == 17 && key.2 == "10.9.0.2:51820";
        assert_eq!(outside.keys().filter(outer).count(), 1, "{outside:#?}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_sctp_is_counted_with_its_ports() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let mut server = b.lines("sctp_serve 7000");
        if server.line() == "none" {
            eprintln!("this kernel does not have SCTP");
            return;
        }
        // tcpdump would see buffers of many packets, as for TCP.
        for (space, iface) in [(&a, "va"), (&b, "vb")] {
            space.run(&["ethtool", "-K", iface, "tx-sctp-segmentation", "off"]);
        }
        let capture = Capture::start(&a, "va");
        let tracing = Tracing::start(&a, config(source));
        a.traffic("sctp 10.9.0.2 7000 20 400");
        eventually("the connection is over", || server.is_over());
        let (expected, _) = capture.stop();
        let (flows, _) = tracing.stop();
        assert_eq!(sums(&flows), expected, "{source:?}");
        let to = expected.keys().filter(|key| key.0 == 132 && key.2 == "10.9.0.2:7000");
        assert_eq!(to.count(), 1, "{expected:#?}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_who_began_is_guessed_only_where_that_is_wanted() {
    for (guess_ports, expected) in
        [(GuessPorts::Disable, None), (GuessPorts::Ordinal, Some(Initiator::Dst))]
    {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let tracing =
            Tracing::start(&a, FlowConfig { guess_ports, ..config(Source::SocketFilter) });
        eventually("it sends", || a.sends("va"));
        let mut injector = a.serve_lines("inject");
        injector.say("va");
        let (flows, _) = tracing.stop();
        // From port 120 to port 220.
        let ours: Vec<_> = flows.iter().filter(|flow| flow.key.dst.port == 220).collect();
        assert_eq!(ours.iter().map(|flow| flow.packets).sum::<u64>(), 5);
        assert!(ours.iter().all(|flow| flow.initiator == expected), "{ours:?}");
    }
}
