// SPDX-License-Identifier: Apache-2.0
//! Sockets of local processes, and what they add to flows: who owns an end, who began, how TCP fares.
//!
//! Connected sockets are known by both their ends, whatever the namespace they are in: their packets pass
//! interfaces of others. Sockets that wait for anybody are known by their port, and count where their namespace has
//! the address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use vor_health::{Board, Counter, count};
use vor_model::{
    DnsLookup, EndFacts, Flow, FlowEnd, FlowKey, Initiator, Interval, Mono, ProcessKey, TcpStats,
};

use super::decode::address;
use crate::tracers::wire::{
    TCPSTAT_ACCEPTED, TCPSTAT_ENDED, TCPSTAT_FAILED, TCPSTAT_LISTENS, TCPSTAT_OPENED,
    TCPSTAT_THERE, TcpstatRecord,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// What a socket that is gone is kept for: its last packets, and their report.
const KEPT: Duration = Duration::from_secs(30);

/// A connected socket's ends. A loopback address means another host in each namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ends {
    netns: u32,
    protocol: u8,
    local: FlowEnd,
    remote: FlowEnd,
}

impl Ends {
    fn new(netns: u32, protocol: u8, local: FlowEnd, remote: FlowEnd) -> Self {
        let netns = if local.ip.is_loopback() { netns } else { 0 };
        Self { netns, protocol, local, remote }
    }
}

/// Watched namespaces by the addresses that they have.
pub(super) type Addresses = HashMap<IpAddr, Vec<u32>>;

/// A port that waits for anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Bound {
    netns: u32,
    protocol: u8,
    port: u16,
}

/// Who waits there, on which address.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// `None`: on all of its namespace.
    ip: Option<IpAddr>,
    process: ProcessKey,
    seen: u64,
}

/// A connected socket.
#[derive(Debug)]
struct Socket {
    process: Option<ProcessKey>,
    /// Whether it has connected, or was accepted.
    client: Option<bool>,
    retransmits: u32,
    /// What the next flow from it reports.
    news: TcpStats,
    told: bool,
    /// Where its packets were first seen.
    first: Option<FlowKey>,
    gone: Option<Mono>,
    seen: u64,
}

/// All that are known.
#[derive(Debug)]
pub(super) struct Sockets {
    connected: HashMap<Ends, Socket>,
    waiting: HashMap<Bound, Vec<Waiting>>,
    addresses: Addresses,
    most: usize,
    /// Number of the listing that is under way.
    listing: u64,
    taken: Counter,
    full: Counter,
    untold: Counter,
    known: Counter,
}

/// The stage under which events of sockets are counted.
const STAGE: &str = crate::tracers::tcpstat::UNIT;

impl Sockets {
    /// At most `most` connected sockets, and as many that wait.
    pub(super) fn new(most: usize, board: &Board) -> Self {
        let count = |what| board.counter(STAGE, what);
        Self {
            connected: HashMap::new(),
            waiting: HashMap::new(),
            addresses: Addresses::new(),
            most,
            listing: 0,
            taken: count("taken"),
            full: count("full"),
            untold: count("untold"),
            known: count("sockets"),
        }
    }

    /// The addresses that each namespace has now.
    pub(super) fn set_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
    }

    /// An event.
    pub(super) fn take(&mut self, record: &TcpstatRecord, now: Mono) {
        self.taken.inc();
        match u32::from(record.kind) {
            TCPSTAT_LISTENS => self.wait(record),
            TCPSTAT_OPENED => _ = self.connect(record, Some(true)),
            TCPSTAT_ACCEPTED => _ = self.connect(record, Some(false)),
            TCPSTAT_FAILED => {
                if let Some(socket) = self.connect(record, Some(true)) {
                    socket.news.failed_connects += 1;
                    socket.gone = Some(now);
                }
            }
            TCPSTAT_ENDED => {
                if let Some(socket) = self.connect(record, None) {
                    socket.gone = Some(now);
                }
            }
            TCPSTAT_THERE if record.remote_port == 0 => self.wait(record),
            TCPSTAT_THERE => _ = self.connect(record, None),
            _ => {}
        }
    }

    /// Begins a listing of all sockets.
    pub(super) fn begin(&mut self) {
        self.listing += 1;
    }

    /// Forgets what the listing that was begun has not shown.
    pub(super) fn end(&mut self, now: Mono) {
        let listing = self.listing;
        for ports in self.waiting.values_mut() {
            // One listing's grace: it may have begun to listen meanwhile.
            ports.retain(|port| port.seen + 1 >= listing);
        }
        self.waiting.retain(|_, ports| !ports.is_empty());
        for socket in self.connected.values_mut() {
            if socket.seen + 1 < listing {
                socket.gone.get_or_insert(now);
            }
        }
        let untold = &self.untold;
        self.connected.retain(|_, socket| {
            let keep = socket.gone.is_none_or(|gone| now.since(gone) < KEPT);
            if !keep && !socket.told && !socket.news.is_empty() {
                untold.inc();
            }
            keep
        });
        self.known.set(count(self.connected.len() + self.waiting.len()));
    }

    fn wait(&mut self, record: &TcpstatRecord) {
        if record.pid == 0 || record.local_port == 0 {
            return;
        }
        let process = ProcessKey::new(record.pid, record.started_ns);
        let port =
            Bound { netns: record.netns, protocol: record.protocol, port: record.local_port };
        let any = record.local == [0; 16];
        let ip = (!any).then(|| address(record.local));
        if !self.waiting.contains_key(&port) && self.waiting.len() >= self.most {
            self.full.inc();
            return;
        }
        let ports = self.waiting.entry(port).or_default();
        match ports.iter_mut().find(|known| known.ip == ip) {
            // Several processes may share it: the first is as good as any.
            Some(known) if known.seen == self.listing => {}
            Some(known) => *known = Waiting { ip, process, seen: self.listing },
            None => ports.push(Waiting { ip, process, seen: self.listing }),
        }
    }

    fn connect(&mut self, record: &TcpstatRecord, client: Option<bool>) -> Option<&mut Socket> {
        let local = FlowEnd { ip: address(record.local), port: record.local_port };
        let remote = FlowEnd { ip: address(record.remote), port: record.remote_port };
        let ends = Ends::new(record.netns, record.protocol, local, remote);
        let listener = self.waits(record.netns, record.protocol, local);
        let known = (record.pid != 0).then(|| ProcessKey::new(record.pid, record.started_ns));
        if !self.connected.contains_key(&ends) && self.connected.len() >= self.most {
            self.full.inc();
            return None;
        }
        let listing = self.listing;
        let socket = self.connected.entry(ends).or_insert_with(|| Socket {
            process: None,
            client: None,
            // What came before vor is nobody's news; of a connection that began now, all is.
            retransmits: if client.is_some() { 0 } else { record.retransmits },
            news: TcpStats::default(),
            told: false,
            first: None,
            gone: None,
            seen: listing,
        });
        socket.seen = listing;
        if u32::from(record.kind) != TCPSTAT_ENDED {
            if socket.gone.take().is_some() {
                // Another connection between the same ends.
                socket.retransmits = 0;
            }
            socket.process = known.or(listener).or(socket.process);
        }
        let accepted = listener.is_some().then_some(false);
        socket.client = client.or(socket.client).or(accepted);
        socket.news.retransmits += record.retransmits.saturating_sub(socket.retransmits);
        socket.retransmits = record.retransmits;
        if record.round_trip_us > 0 {
            let round_trip = Duration::from_micros(record.round_trip_us.into());
            socket.news.round_trip = Some(round_trip);
        }
        Some(socket)
    }

    /// Who waits for anybody at `end`.
    fn waits(&self, netns: u32, protocol: u8, end: FlowEnd) -> Option<ProcessKey> {
        let ports = self.waiting.get(&Bound { netns, protocol, port: end.port })?;
        let exact = ports.iter().find(|port| port.ip == Some(end.ip));
        let any = ports.iter().find(|port| port.ip.is_none());
        exact.or(any).map(|port| port.process)
    }

    /// Says who owns a flow's ends, and who began.
    pub(super) fn own(&mut self, flow: &mut Flow) {
        let FlowKey { netns, protocol, src, dst, .. } = flow.key;
        if let Some(socket) = self.connected.get_mut(&Ends::new(netns, protocol, src, dst)) {
            flow.src_process = socket.process;
            if let Some(client) = socket.client {
                let began = if client { Initiator::Src } else { Initiator::Dst };
                flow.initiator.get_or_insert(began);
            }
            socket.first.get_or_insert(flow.key);
        }
        if let Some(socket) = self.connected.get(&Ends::new(netns, protocol, dst, src)) {
            flow.dst_process = socket.process;
            if let Some(client) = socket.client {
                let began = if client { Initiator::Dst } else { Initiator::Src };
                flow.initiator.get_or_insert(began);
            }
        }
        flow.src_process = flow.src_process.or_else(|| self.owner(netns, protocol, src));
        flow.dst_process = flow.dst_process.or_else(|| self.owner(netns, protocol, dst));
    }

    /// Adds to a flow of a report what TCP says since the last one.
    pub(super) fn report(&mut self, flow: &mut Flow) {
        let FlowKey { netns, protocol, src, dst, .. } = flow.key;
        let Some(socket) = self.connected.get_mut(&Ends::new(netns, protocol, src, dst)) else {
            return;
        };
        flow.tcp.round_trip = socket.news.round_trip;
        flow.tcp.retransmits = socket.news.retransmits;
        flow.tcp.failed_connects = socket.news.failed_connects;
        socket.told = true;
    }

    /// The local process that has asked a name server.
    pub(super) fn client(&self, netns: u32, answer: &DnsLookup) -> Option<ProcessKey> {
        let ends = Ends::new(netns, UDP, answer.client, answer.server);
        let connected = self.connected.get(&ends).and_then(|socket| socket.process);
        connected.or_else(|| self.owner(netns, UDP, answer.client))
    }

    /// Who has the port at an address of this namespace, or of the only one that has the address.
    fn owner(&self, netns: u32, protocol: u8, end: FlowEnd) -> Option<ProcessKey> {
        if protocol != TCP && protocol != UDP {
            return None;
        }
        let spaces = self.addresses.get(&end.ip).map_or(&[][..], Vec::as_slice);
        if spaces.contains(&netns) || end.ip.is_loopback() {
            return self.waits(netns, protocol, end);
        }
        match spaces {
            [only] => self.waits(*only, protocol, end),
            _ => None,
        }
    }

    /// After all flows of a report have been joined: what was told is no news any more. Gives flows without packets
    /// for sockets whose news no packet could carry.
    pub(super) fn settle(&mut self, now: Mono) -> Vec<Flow> {
        let mut rest = Vec::new();
        for socket in self.connected.values_mut() {
            let counts = socket.news.retransmits + socket.news.failed_connects;
            if socket.told {
                socket.news = TcpStats::default();
                socket.told = false;
            } else if counts > 0
                && socket.gone.is_some()
                && let Some(key) = socket.first
            {
                let news = std::mem::take(&mut socket.news);
                rest.push(without_packets(key, news, socket.process, now));
            }
        }
        rest
    }
}

fn without_packets(key: FlowKey, tcp: TcpStats, process: Option<ProcessKey>, now: Mono) -> Flow {
    Flow {
        key,
        vlan: None,
        bytes: 0,
        packets: 0,
        time: Interval { start: now, end: now },
        tcp_flags: 0,
        tcp,
        initiator: None,
        src_process: process,
        dst_process: None,
        agent: None,
        iface_name: None,
        src_facts: EndFacts::default(),
        dst_facts: EndFacts::default(),
    }
}
