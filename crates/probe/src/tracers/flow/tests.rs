// SPDX-License-Identifier: Apache-2.0
//! Packets in, counts out: the programs of both sources, run by the kernel on packets of our own.

use libbpf_rs::ProgramInput;

use super::config::Source;
use super::instance::{Constants, Instance};
use super::table::Tables;
use crate::tracers::wire::{FlowCount, FlowKey};

/// Offsets in `struct __sk_buff`, and its size.
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;
const CONTEXT: usize = 192;

struct Lab {
    instance: Instance,
    tables: Tables,
}

impl Lab {
    fn new(source: Source, inner: u8) -> Self {
        let constants = Constants { netns: 5, sampling: 0, passages: 3, inner, dns: 0, _pad: 0 };
        let instance = Instance::load(source, constants, &[], None).unwrap();
        let maps = ["flow_even", "flow_odd", "flow_now"].map(|map| instance.map(map).unwrap());
        let [even, odd, now] = maps;
        Self { instance, tables: Tables::new([even, odd], now).unwrap() }
    }

    /// Shows a packet to a program `times` times; gives the flow that it counted.
    fn show(
        &mut self,
        program: &str,
        packet: &[u8],
        gso: (u32, u32),
        times: u64,
    ) -> (FlowKey, FlowCount) {
        let mut context = [0; CONTEXT];
        context[GSO_SEGS..GSO_SEGS + 4].copy_from_slice(&gso.0.to_ne_bytes());
        context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&gso.1.to_ne_bytes());
        for _ in 0..times {
            let input = ProgramInput {
                data_in: Some(packet),
                context_in: (gso != (0, 0)).then_some(&mut context[..]),
                ..ProgramInput::default()
            };
            self.instance.run(program, input);
        }
        let mut flows = Vec::new();
        self.tables.drain(|key, count| flows.push((*key, *count))).unwrap();
        let [flow] = flows[..] else { panic!("{flows:?}") };
        flow
    }
}

fn udp(payload: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    packet.extend([0x10, 1, 0, 53, 0, 0, 0, 0]);
    packet.extend(vec![7; payload]);
    packet
}

fn framed(packet: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &[8, 0], packet].concat()
}

#[test]
#[ignore = "needs root"]
fn root_a_packet_is_counted_by_its_ends_and_its_length_on_the_wire() {
    let mut lab = Lab::new(Source::Tc, 0);
    // The first packet of a flow goes through the ring.
    let (key, count) = lab.show("flow_eth_in", &framed(&udp(100)), (0, 0), 4);
    assert_eq!((key.src_port, key.dst_port, key.protocol, key.netns), (0x1001, 53, 17, 5));
    assert_eq!((key.passage, key.dst[12..].to_vec()), (1, vec![10, 0, 0, 2]));
    assert_eq!((count.packets, count.bytes), (3, 3 * 142));
    // It is known now: all packets are in the table, of the other program in another flow.
    let (key, count) = lab.show("flow_eth_out", &framed(&udp(100)), (0, 0), 4);
    assert_eq!((key.passage, count.packets), (2, 4));
}

#[test]
#[ignore = "needs root"]
fn root_a_buffer_of_segments_is_counted_as_they_are_sent() {
    let mut lab = Lab::new(Source::Tc, 0);
    lab.show("flow_eth_in", &framed(&udp(1)), (0, 0), 2);
    // 1000 bytes in segments of 300: four packets, four times the headers.
    for segments in [4, 0] {
        let (_, count) = lab.show("flow_eth_in", &framed(&udp(1000)), (segments, 300), 1);
        assert_eq!((count.packets, count.bytes), (4, 1000 + 4 * 42), "{segments}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_what_is_in_a_tunnel_makes_the_flow_where_that_is_wanted() {
    for (inner, src) in [(0, 0), (1, 0x1001)] {
        let mut lab = Lab::new(Source::Tc, inner);
        let mut packet = udp(10);
        packet[9] = 4; // IP in IP
        packet.truncate(20);
        packet.extend(udp(10));
        let (key, count) = lab.show("flow_eth_in", &framed(&packet), (0, 0), 2);
        assert_eq!((key.src_port, count.bytes), (src, 14 + 20 + 38));
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_packet_filter_sees_packets_without_ethernet() {
    let mut lab = Lab::new(Source::SocketFilter, 0);
    // The kernel takes the first 14 bytes for the link layer's, and gives such programs what follows.
    let (key, count) = lab.show("flow_ip", &framed(&udp(100)), (0, 0), 3);
    assert_eq!((key.dst_port, count.packets, count.bytes), (53, 2, 2 * 128));
}
