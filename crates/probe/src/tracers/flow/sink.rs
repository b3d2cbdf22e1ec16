// SPDX-License-Identifier: Apache-2.0
//! What becomes of everything that comes out of the kernel.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use rustix::time::{ClockId, clock_gettime};
use vor_health::Counter;
use vor_model::{Flow, Mono};
use zerocopy::FromBytes;

use super::decode::Reading;
use super::dns::Dns;
use super::outbox::Outbox;
use super::sockets::Sockets;
use super::watch::Names;
use crate::tracers::tcpstat::Tcpstat;
use crate::tracers::wire::{FlowCount, FlowKey, FlowRecord, TcpstatRecord};

/// Where flows, answers and news of sockets go.
pub(super) struct Sink {
    pub(super) reading: Reading,
    pub(super) outbox: Outbox,
    pub(super) names: Rc<RefCell<Names>>,
    pub(super) sockets: Sockets,
    pub(super) dns: Dns,
    pub(super) taken: Counter,
    pub(super) decode: Counter,
}

impl Sink {
    pub(super) fn record(&mut self, record: &[u8]) {
        let Ok((record, _)) = FlowRecord::read_from_prefix(record) else {
            tracing::debug!(len = record.len(), "record not read");
            self.taken.inc();
            self.decode.inc();
            return;
        };
        let flow = self.name(self.reading.flow(&record.key, &record.count));
        self.outbox.put(flow);
    }

    pub(super) fn counted(&mut self, key: &FlowKey, count: &FlowCount) {
        let mut flow = self.name(self.reading.flow(key, count));
        self.sockets.report(&mut flow);
        // Without packets it was only announced: its one packet has come through the ring.
        if flow.packets > 0 || !flow.tcp.is_empty() {
            self.outbox.put(flow);
        }
    }

    /// Socket news for which there was no packet.
    pub(super) fn settle(&mut self) {
        for flow in self.sockets.settle(now()) {
            let flow = self.name(flow);
            self.outbox.put(flow);
        }
    }

    fn name(&mut self, mut flow: Flow) -> Flow {
        flow.iface_name = self.names.borrow().get(flow.key.netns, flow.key.iface);
        self.sockets.own(&mut flow);
        flow.initiator = flow.initiator.or_else(|| self.reading.guess(flow.key));
        flow
    }

    pub(super) fn message(&mut self, record: &[u8]) {
        let Some((netns, mut answer)) = self.dns.read(record) else { return };
        answer.process = self.sockets.client(netns, &answer);
        self.dns.put(answer);
    }

    /// Questions that are not answered any more.
    pub(super) fn give_up(&mut self) {
        for (netns, mut lookup) in self.dns.tick(now()) {
            lookup.process = self.sockets.client(netns, &lookup);
            self.dns.put(lookup);
        }
    }

    pub(super) fn socket(&mut self, record: &[u8]) {
        if let Ok((record, _)) = TcpstatRecord::read_from_prefix(record) {
            self.sockets.take(&record, now());
        }
    }

    pub(super) fn list(&mut self, tcpstat: &Tcpstat) -> io::Result<()> {
        let at = now();
        self.sockets.begin();
        tcpstat.list(|record| self.sockets.take(record, at))?;
        self.sockets.end(at);
        Ok(())
    }
}

/// The kernel's steady clock, as its programs read it.
pub(super) fn now() -> Mono {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    Mono(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
