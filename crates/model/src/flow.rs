// SPDX-License-Identifier: Apache-2.0
//! Network flows: packets of one kind that passed one place, counted together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::net::Workload;
use crate::process::ProcessKey;
use crate::service::Service;
use crate::time::Interval;

/// What makes packets belong to one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The network namespace (inode number) of the interface.
    pub netns: u32,
    /// The interface's index in its namespace.
    pub iface: u32,
    /// Which way the packets passed the interface.
    pub passage: Passage,
    /// IP protocol number (IANA).
    pub protocol: u8,
    /// Where the packets come from.
    pub src: FlowEnd,
    /// Where they go to.
    pub dst: FlowEnd,
}

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowEnd {
    /// IPv4 is never written as mapped IPv6.
    pub ip: IpAddr,
    /// Port of TCP, UDP or SCTP; 0 for other protocols.
    pub port: u16,
}

/// Which way a packet passes an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Passage {
    /// It comes in.
    Ingress,
    /// It goes out.
    Egress,
}

/// Who began the conversation that a flow is one half of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// The end where this flow's packets come from.
    Src,
    /// The end where they go to.
    Dst,
}

/// What TCP itself went through in a flow since it was last reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpStats {
    /// Smoothed round-trip time, as the local sender measures it.
    pub round_trip: Option<Duration>,
    /// Segments that the local sender sent again.
    pub retransmits: u32,
    /// Segments with the flag RST.
    pub resets: u32,
    /// Segments that said that there is no room for more.
    pub zero_windows: u32,
    /// Attempts to connect that failed; counted in the flow from client to server.
    pub failed_connects: u32,
}

impl TcpStats {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Packets of one flow since it was last reported. There may be none: then only `tcp` has news.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Which flow.
    pub key: FlowKey,
    /// The 802.1Q tag that the packets carried here, not part of the key: the same packets pass the VLAN's own
    /// interface without it.
    pub vlan: Option<u16>,
    /// Bytes on the wire, link-layer headers included, corrected for segmentation offload.
    pub bytes: u64,
    /// Packets on the wire.
    pub packets: u64,
    /// First to last of these packets.
    pub time: Interval,
    /// TCP flags seen, RFC 9293 section 3.1; 0 for other protocols.
    pub tcp_flags: u8,
    /// Statistics of TCP; all zero for other protocols.
    pub tcp: TcpStats,
    /// Who began, when a handshake was seen, or a guess where that is wanted.
    pub initiator: Option<Initiator>,
    /// The local processes that own the ends, where known.
    pub src_process: Option<ProcessKey>,
    /// See `src_process`.
    pub dst_process: Option<ProcessKey>,
    /// An address of the host that saw it, where known.
    pub agent: Option<Arc<str>>,
    /// The name of the interface, where known.
    pub iface_name: Option<Arc<str>>,
    /// What is known of the end where the packets come from. Stages fill it; what is read of it as attributes is
    /// made where somebody wants them.
    pub src_facts: EndFacts,
    /// See `src_facts`.
    pub dst_facts: EndFacts,
}

/// What is known of one end of a flow beside its address.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndFacts {
    /// The service of the local process that owns it.
    pub service: Option<Arc<Service>>,
    /// The workload that has its address.
    pub workload: Option<Arc<Workload>>,
    /// The name that DNS has for its address.
    pub host: Option<Arc<str>>,
    /// The configured network that it lies in.
    pub cidr: Option<Arc<str>>,
}
