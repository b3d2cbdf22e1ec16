// SPDX-License-Identifier: Apache-2.0
//! Counts each packet once, though it passes several interfaces (veth, bridge, physical) on its way.
//!
//! In: flows of all interfaces. Out: those of one place per pair of ends. The place where such packets were seen first
//! owns them: it reports, others are dropped, until it has seen none for the TTL and another has. Bounded: the
//! owner that was silent longest is forgotten first, counted as `evicted`.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use serde::Deserialize;
use vor_health::{Board, Counter, count};
use vor_model::{Flow, FlowEnd, Mono, Passage};

use crate::Stage;

/// What is done about packets that pass several interfaces (`network.deduper`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deduper {
    /// The interface that saw them first counts them.
    FirstCome,
    /// Each interface counts them.
    None,
}

/// How long and how much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct DedupConfig {
    /// How long an owner may see no packets and stay the owner.
    pub ttl: Duration,
    /// Pairs of ends, at least 1.
    pub max_flows: usize,
}

/// The stage.
#[derive(Debug)]
pub struct Dedup {
    ttl: Duration,
    owners: LruCache<Ends, Owner>,
    round: u64,
    remembered: Counter,
    evicted: Counter,
}

/// What the same packets have in common wherever they are seen.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ends {
    /// Only of loopback addresses, which each namespace has for itself; 0 for others.
    netns: u32,
    protocol: u8,
    src: FlowEnd,
    dst: FlowEnd,
}

/// Where packets are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    netns: u32,
    iface: u32,
    passage: Passage,
}

#[derive(Debug)]
struct Owner {
    seen: Seen,
    /// The first packet of the batch that made it the owner, and that batch.
    first: Mono,
    round: u64,
    last: Mono,
}

impl Dedup {
    /// Remembers owners as `config` says.
    #[must_use]
    pub fn new(config: DedupConfig, board: &Board) -> Self {
        let max = NonZeroUsize::new(config.max_flows).unwrap_or(NonZeroUsize::MIN);
        Self {
            ttl: config.ttl,
            owners: LruCache::new(max),
            round: 0,
            remembered: board.counter(NAME, "owners"),
            evicted: board.counter(NAME, "evicted"),
        }
    }

    /// Finds out who owns the packets of `flow`.
    fn settle(&mut self, flow: &Flow) {
        let (seen, round) = (seen(flow), self.round);
        let owner = Owner { seen, first: flow.time.start, round, last: flow.time.end };
        let Some(known) = self.owners.peek_mut(&ends(flow)) else {
            if let Some((gone, _)) = self.owners.push(ends(flow), owner)
                && gone != ends(flow)
            {
                self.evicted.inc();
            }
            return;
        };
        let silent = flow.time.start.since(known.last) > self.ttl;
        // Within a batch nothing was reported yet: the first packet decides, not the order of the batch.
        let before = known.round == round && flow.time.start < known.first;
        if known.seen == seen {
            known.last = known.last.max(flow.time.end);
        } else if silent || before {
            *known = owner;
        } else {
            return;
        }
        self.owners.promote(&ends(flow));
    }

    fn owns(&self, flow: &Flow) -> bool {
        self.owners.peek(&ends(flow)).is_none_or(|owner| owner.seen == seen(flow))
    }

    fn forget(&mut self, newest: Mono) {
        while let Some((_, owner)) = self.owners.peek_lru()
            && newest.since(owner.last) > self.ttl
        {
            self.owners.pop_lru();
        }
        self.remembered.set(count(self.owners.len()));
    }
}

const NAME: &str = "flow_dedup";

impl Stage<Flow> for Dedup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        self.round += 1;
        for flow in batch.iter().filter(|flow| flow.packets > 0) {
            self.settle(flow);
        }
        // What TCP says of itself stands beside the packets of each place, and is the same. Where there are none it is
        // said once.
        batch.retain(|flow| flow.packets == 0 || self.owns(flow));
        if let Some(newest) = batch.iter().map(|flow| flow.time.end).max() {
            self.forget(newest);
        }
    }
}

fn ends(flow: &Flow) -> Ends {
    let key = &flow.key;
    let own = key.src.ip.is_loopback() && key.dst.ip.is_loopback();
    let netns = if own { key.netns } else { 0 };
    Ends { netns, protocol: key.protocol, src: key.src, dst: key.dst }
}

const fn seen(flow: &Flow) -> Seen {
    let key = &flow.key;
    Seen { netns: key.netns, iface: key.iface, passage: key.passage }
}

#[cfg(test)]
mod tests {
    use vor_model::{Interval, TcpStats};

    use super::*;
    use crate::flow::sample::flow;

    const SECOND: u64 = 1_000_000_000;

    fn dedup(max_flows: usize) -> (Dedup, std::sync::Arc<Board>) {
        let board = Board::new();
        let config = DedupConfig { ttl: Duration::from_secs(10), max_flows };
        (Dedup::new(config, &board), board)
    }

    /// Packets of one conversation on interface `iface`, from `start` to `end` seconds.
    fn seen_on(iface: u32, start: u64, end: u64) -> Flow {
        let mut flow = flow("10.0.0.1:40000", "10.0.0.2:80");
        flow.key.iface = iface;
        flow.time = Interval { start: Mono(start * SECOND), end: Mono(end * SECOND) };
        flow
    }

    fn left(dedup: &mut Dedup, batch: &[Flow]) -> Vec<u32> {
        let mut batch = batch.to_vec();
        dedup.apply(&mut batch);
        batch.iter().map(|flow| flow.key.iface).collect()
    }

    #[test]
    fn the_place_of_the_first_packet_reports_whatever_the_order_of_the_batch() {
        let (mut dedup, _) = dedup(10);
        assert_eq!(left(&mut dedup, &[seen_on(3, 2, 5), seen_on(2, 1, 5)]), [2]);
        // Another one that saw packets earlier is told later: the owner stays.
        assert_eq!(left(&mut dedup, &[seen_on(3, 0, 9), seen_on(2, 6, 9)]), [2]);
        assert!(left(&mut dedup, &[seen_on(4, 6, 9)]).is_empty());
    }

    #[test]
    fn the_way_back_is_another_flow_and_both_passages_of_an_interface_are_two_places() {
        let (mut dedup, _) = dedup(10);
        let (out, mut back) = (seen_on(2, 1, 5), seen_on(3, 1, 5));
        (back.key.src, back.key.dst) = (back.key.dst, back.key.src);
        let mut hairpin = seen_on(2, 1, 5);
        hairpin.key.passage = match out.key.passage {
            Passage::Ingress => Passage::Egress,
            Passage::Egress => Passage::Ingress,
        };
        assert_eq!(left(&mut dedup, &[out, back, hairpin]), [2, 3]);
    }

    #[test]
    fn an_owner_that_sees_nothing_any_more_is_followed_by_one_that_does() {
        let (mut dedup, _) = dedup(10);
        assert_eq!(left(&mut dedup, &[seen_on(2, 1, 5), seen_on(3, 1, 5)]), [2]);
        assert!(left(&mut dedup, &[seen_on(3, 6, 12)]).is_empty());
        assert_eq!(left(&mut dedup, &[seen_on(3, 16, 19)]), [3]);
        assert_eq!(left(&mut dedup, &[seen_on(2, 20, 21), seen_on(3, 20, 21)]), [3]);
    }

    #[test]
    fn loopback_belongs_to_its_namespace() {
        let (mut dedup, _) = dedup(10);
        let of = |netns| {
            let mut flow = flow("127.0.0.1:4000", "127.0.0.1:80");
            (flow.key.netns, flow.key.iface) = (netns, netns);
            flow
        };
        assert_eq!(left(&mut dedup, &[of(1), of(2)]), [1, 2]);
    }

    #[test]
    fn statistics_are_told_once_beside_the_packets_or_without_any() {
        let (mut dedup, _) = dedup(10);
        let with_news = |mut flow: Flow| {
            flow.tcp = TcpStats { retransmits: 4, ..TcpStats::default() };
            flow
        };
        let mut rest = with_news(seen_on(4, 3, 5));
        (rest.packets, rest.bytes) = (0, 0);
        let batch = [with_news(seen_on(2, 1, 5)), with_news(seen_on(3, 2, 5)), rest];
        assert_eq!(left(&mut dedup, &batch), [2, 4]);
    }

    #[test]
    fn owners_are_forgotten_when_they_are_silent_or_too_many() {
        let (mut dedup, board) = dedup(2);
        let counted = |what| board.counter(NAME, what).get();
        let other = |port| {
            let mut flow = seen_on(2, 1, 2);
            flow.key.dst.port = port;
            flow
        };
        left(&mut dedup, &[seen_on(2, 1, 2), other(1), other(2)]);
        assert_eq!((counted("owners"), counted("evicted")), (2, 1));
        left(&mut dedup, &[seen_on(2, 30, 31)]);
        assert_eq!(counted("owners"), 1);
    }
}
