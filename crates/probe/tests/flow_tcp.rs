// SPDX-License-Identifier: Apache-2.0
//! What goes wrong with TCP, beside what the kernel itself and tcpdump count of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod net;

use net::pcap::Capture;
use net::{Space, Tracing, config, eventually, join, total};
use vor_model::{Flow, Initiator};
use vor_probe::flows::{FlowConfig, Source};

const SOURCES: [Source; 2] = [Source::SocketFilter, Source::Tc];

/// A number of a namespace's `/proc/net/snmp`.
fn mib(space: &Space, name: &str) -> u64 {
    let text = space.proc_net("snmp");
    let lines: Vec<Vec<_>> = text.lines().map(|line| line.split(' ').collect()).collect();
    // A line of names, a line of values.
    let pair = lines.chunks_exact(2).find(|pair| pair[0].contains(&name)).unwrap();
    pair[1][pair[0].iter().position(|known| *known == name).unwrap()].parse().unwrap()
}

fn sum(flows: &[Flow], what: fn(&Flow) -> u32) -> u64 {
    flows.iter().map(|flow| u64::from(what(flow))).sum()
}

#[test]
#[ignore = "needs root"]
fn root_every_segment_that_is_sent_again_is_counted_as_the_kernel_counts_it() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let _server = b.serve("serve 7000");
        let tracing = Tracing::start(&a, config(source));
        let mut client = a.serve_lines("more 10.9.0.2 7000 1000");
        client.say("");
        assert_eq!(mib(&a, "RetransSegs"), 0);
        // Nothing comes back: what is sent counts as lost.
        b.ip("route add blackhole 10.9.0.1");
        client.say("");
        let told = |flows: &[Flow]| sum(flows, |flow| flow.tcp.retransmits);
        tracing.until("it is sent again", |flows| told(flows) >= 2);
        b.ip("route del blackhole 10.9.0.1");
        client.say("");
        drop(client);
        eventually("the connection is over", || !a.proc_net("tcp").contains(":1B58 01 "));
        tracing.until("all are told", |flows| told(flows) >= mib(&a, "RetransSegs"));
        let (flows, _) = tracing.stop();
        assert_eq!(told(&flows), mib(&a, "RetransSegs"), "{source:?}");
        let again = flows.iter().filter(|flow| flow.tcp.retransmits > 0);
        for flow in again {
            assert_eq!(
                (flow.key.dst.port, flow.initiator),
                (7000, Some(Initiator::Src)),
                "{flow:?}"
            );
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_segments_without_room_and_resets_are_counted_as_tcpdump_counts_them() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let mut server = b.serve_lines("stall 7000");
        let full = Capture::of(&a, "va", "tcp[14:2]=0 and tcp[13]&4=0");
        let resets = Capture::of(&a, "va", "tcp[13]&4!=0");
        let tracing = Tracing::start(&a, config(source));
        let mut client = a.traffic_child("fill 10.9.0.2 7000");
        let no_room = |flows: &[Flow]| sum(flows, |flow| flow.tcp.zero_windows);
        tracing.until("there is no room", |flows| no_room(flows) > 0);
        server.tell("");
        server.hear("read");
        assert!(client.0.wait().unwrap().success());
        let (flows, _) = tracing.stop();
        let counted = |capture: Capture| total(&capture.stop().0).0;
        let (expected_full, expected_resets) = (counted(full), counted(resets));
        assert!(expected_full > 0 && expected_resets > 0);
        assert_eq!(no_room(&flows), expected_full, "{source:?}");
        assert_eq!(sum(&flows, |flow| flow.tcp.resets), expected_resets, "{source:?}");
        for flow in flows.iter().filter(|flow| flow.tcp.zero_windows > 0) {
            assert_eq!(flow.key.src.port, 7000, "it is the reader that has no room: {flow:?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_attempts_to_connect_that_nobody_answers_have_failed() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        a.run(&["sysctl", "-qw", "net.ipv4.tcp_syn_retries=1"]);
        b.ip("route add blackhole 10.9.0.1");
        let tracing = Tracing::start(&a, config(source));
        let mut client = a.traffic_child("timeout 10.9.0.2 7000");
        assert!(client.0.wait().unwrap().success());
        let failed = |flows: &[Flow]| sum(flows, |flow| flow.tcp.failed_connects);
        tracing.until("it is told", |flows| failed(flows) > 0);
        let (flows, _) = tracing.stop();
        assert_eq!(failed(&flows), 1, "{source:?}");
        let flow = flows.iter().find(|flow| flow.tcp.failed_connects > 0).unwrap();
        assert_eq!((flow.key.dst.port, flow.initiator), (7000, Some(Initiator::Src)));
        assert_eq!(sum(&flows, |flow| flow.tcp.retransmits), mib(&a, "RetransSegs"));
    }
}

/// The chance that it fails by itself is below 1 in 10^12: the sum is 5,000 ± 212.
#[test]
#[ignore = "needs root"]
fn root_one_of_ten_packets_stands_for_ten() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let _server = b.serve("serve 7000");
        let tracing = Tracing::start(&a, FlowConfig { sampling: 10, ..config(source) });
        a.traffic("udp 10.9.0.2 7000 5000 100");
        let (flows, _) = tracing.stop();
        let ours = flows.iter().filter(|flow| flow.key.dst.port == 7000);
        let (packets, bytes) =
            ours.fold((0, 0), |sum, flow| (sum.0 + flow.packets, sum.1 + flow.bytes));
        assert_eq!(packets % 10, 0, "{source:?}");
        assert_eq!(bytes, packets * 142, "{source:?}");
        assert!((3_400..6_600).contains(&packets), "{source:?}: {packets}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_flows_of_udp_have_owners() {
    for source in SOURCES {
        let (a, b) = (Space::new(), Space::new());
        join(&a, &b);
        let server = b.serve("serve 7000");
        let tracing = Tracing::start(&b, config(source));
        let client = a.traffic_child("talk 10.9.0.2 7000");
        let pids = (Some(client.0.id()), Some(server.0.id()));
        tracing.until("both ends are known", |flows| {
            let owned = |flow: &&Flow| {
                let of = |process: Option<vor_model::ProcessKey>| process.map(|it| it.pid);
                flow.key.protocol == 17 && (of(flow.src_process), of(flow.dst_process)) == pids
            };
            flows.iter().filter(owned).count() > 0
        });
        let (flows, _) = tracing.stop();
        for flow in flows.iter().filter(|flow| flow.key.dst.port == 7000) {
            // A socket is found by a listing: its first packets may come before.
            let near = flow.dst_process.map(|it| it.pid);
            let far = flow.src_process.map(|it| it.pid);
            assert!(near.is_none_or(|pid| Some(pid) == pids.1), "{flow:?}");
            assert!(far.is_none_or(|pid| Some(pid) == pids.0), "{flow:?}");
        }
    }
}
