// SPDX-License-Identifier: Apache-2.0
//! What name servers are asked, and what they say.

use std::net::IpAddr;
use std::time::Duration;

use crate::flow::FlowEnd;
use crate::process::ProcessKey;
use crate::time::Mono;

/// A question to a name server that was seen on the wire, and what became of it (RFC 1035).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsLookup {
    /// The name that was asked for, in lower case and without the last dot. Addresses at the end of a chain of
    /// aliases belong to it.
    pub name: String,
    /// The type that was asked for: 1 is A, 28 AAAA, …
    pub kind: u16,
    /// The response code: 0 is success, 3 no such name, … `None`: nobody has answered.
    pub code: Option<u8>,
    /// Addresses found; empty when there are none or another type was asked for.
    pub addresses: Vec<IpAddr>,
    /// How long all that led to them holds: the shortest time of the chain.
    pub ttl: Duration,
    /// Who asked.
    pub client: FlowEnd,
    /// Who was asked.
    pub server: FlowEnd,
    /// When the question was seen.
    pub asked: Option<Mono>,
    /// When the answer was seen, or no longer waited for.
    pub at: Mono,
    /// The local process that asked, where known.
    pub process: Option<ProcessKey>,
}
