// SPDX-License-Identifier: Apache-2.0
//! What the kernel side counts beside flows (`flow_totals`) → the health board.

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use vor_health::{Board, Counter};

use super::STAGE;
use crate::tracers::wire::{
    FLOW_BROKEN, FLOW_DNS_LOST, FLOW_LOST_BYTES, FLOW_LOST_PACKETS, FLOW_NOT_IP, FLOW_OVERFLOW,
    FLOW_STRAY_FRAGMENTS,
};

/// Counters of the stage `flow`, and what they count.
pub const TOLD: &[(&str, &str)] = &[
    (
        "lost.no_room",
        "packets that found the table of flows full, and the ring as well; raise `network.cache_max_flows`",
    ),
    ("lost.full", "packets of flows that the pipeline was too slow to take"),
    ("lost.decode", "records that do not read as flows: a defect of vor"),
    ("bytes.in, bytes.out, bytes.lost", "the same packets in bytes"),
    ("overflow", "packets that found the table of flows full and came through the ring"),
    ("not_ip", "packets of other protocols than IP, which make no flow"),
    ("broken", "packets whose headers are not what they say they are"),
    ("fragments.stray", "fragments whose first was not seen: their flow has port 0"),
    ("dns.lost", "messages of name servers that found their ring full"),
    (
        "dns.answers, dns.out, dns.full",
        "lookups that were answered or given up, handed on, and found the channel full",
    ),
    ("dns.unread", "messages from or to port 53 that do not read as DNS"),
    ("dns.questions", "questions that are remembered now"),
    ("dns.unremembered", "questions that found no room: nobody knows how long their answers took"),
    ("flows, waiting, interfaces, namespaces", "how many there are now"),
    ("interfaces.refused", "attempts to watch an interface or a namespace that failed"),
];

/// The counters.
#[derive(Debug)]
pub(super) struct Totals {
    map: MapHandle,
    scale: u64,
    taken: Counter,
    lost: Counter,
    bytes_taken: Counter,
    bytes_lost: Counter,
    bytes_lost_here: u64,
    others: Vec<(u32, Counter)>,
}

impl Totals {
    /// Each packet stands for `scale`.
    pub(super) fn new(map: MapHandle, board: &Board, scale: u64) -> Self {
        let count = |what| board.counter(STAGE, what);
        let others = [
            (FLOW_OVERFLOW, "overflow"),
            (FLOW_NOT_IP, "not_ip"),
            (FLOW_BROKEN, "broken"),
            (FLOW_STRAY_FRAGMENTS, "fragments.stray"),
            (FLOW_DNS_LOST, "dns.lost"),
        ];
        Self {
            map,
            scale,
            taken: count("in"),
            lost: count("lost.no_room"),
            bytes_taken: count("bytes.in"),
            bytes_lost: count("bytes.lost"),
            bytes_lost_here: 0,
            others: others.into_iter().map(|(index, what)| (index, count(what))).collect(),
        }
    }

    /// What the kernel has lost never came here: it is added to what came in, too.
    pub(super) fn copy(&mut self) {
        let lost = self.read(FLOW_LOST_PACKETS).saturating_mul(self.scale);
        self.taken.add(lost.saturating_sub(self.lost.get()));
        self.lost.set(lost);
        let bytes = self.read(FLOW_LOST_BYTES).saturating_mul(self.scale);
        let more = bytes.saturating_sub(self.bytes_lost_here);
        self.bytes_lost_here = bytes;
        self.bytes_taken.add(more);
        self.bytes_lost.add(more);
        for (index, counter) in &self.others {
            counter.set(self.read(*index));
        }
    }

    fn read(&self, index: u32) -> u64 {
        let Ok(Some(per_cpu)) = self.map.lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY) else {
            return 0;
        };
        let number = |bytes: &Vec<u8>| bytes.first_chunk().copied().map_or(0, u64::from_ne_bytes);
        per_cpu.iter().map(number).sum()
    }
}
