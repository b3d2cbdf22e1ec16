// SPDX-License-Identifier: Apache-2.0
//! What name servers say.

use std::net::IpAddr;
use std::time::Duration;

use crate::flow::FlowEnd;
use crate::process::ProcessKey;
use crate::time::Mono;

/// An answer of a name server that was seen on the wire (RFC 1035).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer {
    /// The name that was asked for, in lower case and without the last dot. Addresses at the end of a chain of
    /// aliases belong to it.
    pub name: String,
    /// The type that was asked for: 1 is A, 28 AAAA, …
    pub kind: u16,
    /// The response code: 0 is success, 3 no such name, …
    pub code: u8,
    /// Addresses found; empty when there are none or another type was asked for.
    pub addresses: Vec<IpAddr>,
    /// How long all that led to them holds: the shortest time of the chain.
    pub ttl: Duration,
    /// Who asked.
    pub client: FlowEnd,
    /// Who answered.
    pub server: FlowEnd,
    /// When the question was seen.
    pub asked: Option<Mono>,
    /// When the answer was seen.
    pub at: Mono,
    /// The local process that asked, where known.
    pub process: Option<ProcessKey>,
}
