// SPDX-License-Identifier: Apache-2.0
//! Flows beside what tcpdump and the interfaces themselves count.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod net;

use net::pcap::Capture;
use net::{Space, Tracing, config, eventually, join, offload, passages, sums, total};
use vor_model::{Flow, Initiator, ProcessKey};
use vor_probe::flows::{FlowConfig, Source};

const SOURCES: [Source; 2] = [Source::SocketFilter, Source::Tc];

#[test]
#[ignore = "needs root"]
fn root_every_kind_of_traffic_is_counted_as_tcpdump_counts_it() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        offload(&a, "va", false);
        offload(&b, "vb", false);
        let _server = b.serve("serve 7000");
        let before = counters(&a);
        let capture = Capture::start(&a, "va");
        let tracing = Tracing::start(&a, config(source));
        a.traffic("udp 10.9.0.2 7000 100 400");
        a.traffic("udp fd09::2 7000 50 333");
        a.traffic("udp 10.9.0.2 7000 20 5000");
        a.traffic("udp fd09::2 7000 20 7000");
        a.traffic("tcp 10.9.0.2 7000 5 200000");
        a.traffic("tcp fd09::2 7000 5 200000");
        a.traffic("frames va");
        a.traffic("ping 10.9.0.2 5 3000");
        let (expected, others) = capture.stop();
        let (flows, board) = tracing.stop();
        let after = counters(&a);

        let seen = sums(&flows);
        for (key, sum) in &expected {
            assert_eq!(seen.get(key), Some(sum), "{source:?} {key:?}");
        }
        assert_eq!(seen.len(), expected.len(), "{source:?}: {seen:#?}");
        passages(&flows, &["10.9.0.1", "fd09::1"]);
        assert!(flows.iter().all(|flow| flow.iface_name.as_deref() == Some("va")));
        // The interface counts frames that carry no IP, too; a tag travels beside the bytes it counts.
        let all = total(&seen);
        assert_eq!(after.0 - before.0, all.0 + others.0, "{source:?}: packets of the interface");
        assert_eq!(after.1 - before.1, all.1 + others.1, "{source:?}: bytes of the interface");
        let count = |what| board.counter("flow", what).get();
        assert!(count("not_ip") >= 23 + 24 && count("broken") == 25, "{:?}", board.readings());
        assert_eq!(count("fragments.stray"), 11);
        let vlans: Vec<_> = flows.iter().filter_map(|flow| flow.vlan).collect();
        assert!(vlans.contains(&7) && vlans.contains(&9), "{vlans:?}");
    }
}

/// `a` and `b` joined by a bridge in between. Buffers of many segments come as far as the bridge and are cut there,
/// so that `b` sees what the wire would.
#[test]
#[ignore = "needs root"]
fn root_buffers_of_many_segments_are_counted_as_the_wire_has_them() {
    for source in SOURCES {
        let (a, bridge, b) = (Space::new(), Space::new(), Space::new());
        net::join_by_bridge(&a, &bridge, &b);
        offload(&a, "va", true);
        for (space, iface) in [(&bridge, "pb"), (&b, "vb")] {
            offload(space, iface, false);
            space.run(&["ethtool", "-K", iface, "tx-udp-segmentation", "off"]);
        }
        let _servers = [a.serve("serve 7000"), b.serve("serve 7000")];
        let capture = Capture::start(&b, "vb");
        let near = Tracing::start(&a, config(source));
        let between = Tracing::start(&bridge, config(source));
        a.traffic("tcp 10.9.0.2 7000 3 2000000");
        a.traffic("tcp fd09::2 7000 2 2000000");
        a.traffic("uso 10.9.0.2 7000 200 1000");
        b.traffic("tcp 10.9.0.1 7000 2 2000000");
        let (expected, _) = capture.stop();
        let whole = a.counter("va", "tx_packets");
        let ((seen, _), (bridged, _)) = (near.stop(), between.stop());
        let seen = sums(&seen);
        let wire: u64 = expected.values().map(|sum| sum.0).sum();
        assert!(whole < wire / 2, "{whole} buffers were not large enough for {wire} packets");
        let ours =
            |key: &&(u8, String, String)| key.1.ends_with(":7000") || key.2.ends_with(":7000");
        for key in expected.keys().filter(ours) {
            assert_eq!(seen.get(key), expected.get(key), "{source:?} {key:?}");
            for iface in ["pa", "pb"] {
                let here = |flow: &&Flow| flow.iface_name.as_deref() == Some(iface);
                let here = sums(bridged.iter().filter(here));
                assert_eq!(here.get(key), expected.get(key), "{source:?} {iface} {key:?}");
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_answers_of_name_servers_are_told_once_with_their_latency() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let _server = b.serve("names");
        let tracing =
            Tracing::start(&a, FlowConfig { dns: true, sampling: 1000, ..config(source) });
        a.traffic("ask 10.9.0.2");
        a.traffic("ask_tcp 10.9.0.2");
        let (_, answers, board) = tracing.stop_all();
        assert_eq!(answers.len(), 80, "{source:?} {:?}", board.readings());
        for answer in &answers {
            assert_eq!(answer.name, "www.example.org");
            let address = if answer.kind == 1 { "192.0.2.7" } else { "2001:db8::7" };
            assert_eq!(answer.addresses, [address.parse::<std::net::IpAddr>().unwrap()]);
            assert_eq!((answer.ttl.as_secs(), answer.code, answer.server.port), (60, Some(0), 53));
            assert_eq!(answer.server.ip.to_string(), "10.9.0.2");
            assert!(answer.asked.is_some_and(|asked| asked < answer.at), "{answer:?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_flows_have_owners_initiators_and_statistics_of_tcp() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let server = b.serve("serve 7000");
        let tracing = Tracing::start(&b, config(source));
        let mut client = a.traffic_child("hold 10.9.0.2 7000 400000");
        let pid = client.0.id();
        // A port that nobody has, from the watched side.
        b.traffic("refused 10.9.0.1 7001 3");
        eventually("the client waits", || tracing.count("flows") > 0);
        std::thread::sleep(std::time::Duration::from_secs(2));
        drop(client.0.stdin.take());
        client.0.wait().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        let (flows, board) = tracing.stop();

        let ours = |flow: &&Flow| flow.key.src.port == 7000 || flow.key.dst.port == 7000;
        let of = |process: ProcessKey| process.pid;
        for flow in flows.iter().filter(ours) {
            let from_client = flow.key.dst.port == 7000;
            let expected = if from_client { Initiator::Src } else { Initiator::Dst };
            assert_eq!(flow.initiator, Some(expected), "{source:?} {flow:?}");
            // What came back after the process had ended has lost it.
            let (near, far) = if from_client {
                (flow.dst_process, flow.src_process)
            } else {
                (flow.src_process, flow.dst_process)
            };
            assert_eq!(near.map(of), Some(server.0.id()), "{source:?} {flow:?}");
            assert!(far.is_none_or(|far| far.pid == pid), "{source:?} {flow:?}");
        }
        let said = |what: fn(&Flow) -> bool| flows.iter().filter(ours).any(what);
        assert!(said(|flow| flow.src_process.is_some() && flow.dst_process.is_some()));
        assert!(said(|flow| flow.tcp.round_trip.is_some()), "{source:?} {flows:#?}");
        let refused = flows.iter().filter(|flow| flow.key.dst.port == 7001);
        let failed: u32 = refused.clone().map(|flow| flow.tcp.failed_connects).sum();
        assert_eq!(failed, 3, "{source:?} {:#?}", refused.collect::<Vec<_>>());
        let resets: u32 = flows.iter().map(|flow| flow.tcp.resets).sum();
        assert_eq!(resets, 3, "{source:?}");
        assert!(board.counter("tcpstat", "taken").get() > 0);
    }
}

/// Packets and bytes that have passed `va`, in and out.
fn counters(space: &Space) -> (u64, u64) {
    let read = |name| space.counter("va", name);
    (read("rx_packets") + read("tx_packets"), read("rx_bytes") + read("tx_bytes"))
}
