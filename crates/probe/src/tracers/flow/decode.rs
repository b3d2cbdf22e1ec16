// SPDX-License-Identifier: Apache-2.0
//! `struct flow_key` and `struct flow_count` → [`Flow`].

use std::net::{IpAddr, Ipv6Addr};

use vor_model::{EndFacts, Flow, FlowEnd, FlowKey, Initiator, Interval, Mono, Passage, TcpStats};

use super::config::GuessPorts;
use crate::tracers::wire::{self, FLOW_INGRESS, FLOW_INITIATOR_DST, FLOW_INITIATOR_SRC};

/// How counts are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) guess: GuessPorts,
    /// Packets that each one stands for.
    pub(super) scale: u64,
}

impl Reading {
    pub(super) fn flow(self, key: &wire::FlowKey, count: &wire::FlowCount) -> Flow {
        let key = flow_key(key);
        let initiator = match u32::from(count.initiator) {
            FLOW_INITIATOR_SRC => Some(Initiator::Src),
            FLOW_INITIATOR_DST => Some(Initiator::Dst),
            _ => None,
        };
        Flow {
            key,
            vlan: (count.vlan != 0).then_some(count.vlan),
            bytes: count.bytes.saturating_mul(self.scale),
            packets: count.packets.saturating_mul(self.scale),
            time: Interval { start: Mono(count.first_ns), end: Mono(count.last_ns) },
            tcp_flags: count.tcp_flags,
            tcp: TcpStats {
                resets: count.resets,
                zero_windows: count.zero_windows,
                ..TcpStats::default()
            },
            initiator,
            src_process: None,
            dst_process: None,
            agent: None,
            iface_name: None,
            src_facts: EndFacts::default(),
            dst_facts: EndFacts::default(),
        }
    }

    /// Who probably began. Ports that clients get are usually higher than those that servers choose.
    pub(super) fn guess(self, key: FlowKey) -> Option<Initiator> {
        match self.guess {
            GuessPorts::Ordinal if key.src.port > key.dst.port => Some(Initiator::Src),
            GuessPorts::Ordinal if key.src.port < key.dst.port => Some(Initiator::Dst),
            GuessPorts::Ordinal | GuessPorts::Disable => None,
        }
    }
}

fn flow_key(key: &wire::FlowKey) -> FlowKey {
    let ingress = u32::from(key.passage) == FLOW_INGRESS;
    FlowKey {
        netns: key.netns,
        iface: key.ifindex,
        passage: if ingress { Passage::Ingress } else { Passage::Egress },
        protocol: key.protocol,
        src: FlowEnd { ip: address(key.src), port: key.src_port },
        dst: FlowEnd { ip: address(key.dst), port: key.dst_port },
    }
}

/// An address as kernel programs write it.
pub(super) fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: wire::FlowKey = wire::FlowKey {
        src: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        dst: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        netns: 9,
        ifindex: 3,
        src_port: 40_000,
        dst_port: 80,
        protocol: 6,
        passage: 2,
        _pad: [0; 2],
    };
    const COUNT: wire::FlowCount = wire::FlowCount {
        packets: 3,
        bytes: 180,
        first_ns: 5,
        last_ns: 9,
        resets: 1,
        zero_windows: 2,
        vlan: 7,
        tcp_flags: 0x12,
        initiator: 2,
        _pad: [0; 4],
    };

    #[test]
    fn a_flow_is_what_was_counted_times_the_sampling() {
        let reading = Reading { guess: GuessPorts::Disable, scale: 10 };
        let flow = reading.flow(&KEY, &COUNT);
        assert_eq!(flow.key.src.ip.to_string(), "10.0.0.1");
        assert_eq!(flow.key.dst.ip.to_string(), "2001:db8::2");
        assert_eq!((flow.key.passage, flow.key.iface, flow.key.netns), (Passage::Egress, 3, 9));
        assert_eq!((flow.packets, flow.bytes, flow.vlan), (30, 1800, Some(7)));
        assert_eq!(flow.initiator, Some(Initiator::Dst));
        assert_eq!((flow.tcp.resets, flow.tcp.zero_windows), (1, 2));
    }

    #[test]
    fn who_began_is_guessed_only_where_that_is_wanted() {
        let flow = |src_port| {
            let reading = Reading { guess: GuessPorts::Disable, scale: 1 };
            reading.flow(&wire::FlowKey { src_port, ..KEY }, &COUNT)
        };
        for (how, expected) in
            [(GuessPorts::Disable, None), (GuessPorts::Ordinal, Some(Initiator::Src))]
        {
            let reading = Reading { guess: how, scale: 1 };
            assert_eq!(reading.guess(flow(81).key), expected);
            assert_eq!(reading.guess(flow(80).key), None);
        }
        let ordinal = Reading { guess: GuessPorts::Ordinal, scale: 1 };
        assert_eq!(ordinal.guess(flow(79).key), Some(Initiator::Dst));
    }
}
