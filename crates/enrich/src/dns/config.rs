// SPDX-License-Identifier: Apache-2.0
//! Settings of names from DNS.

use serde::Deserialize;
use vor_config::Duration;

/// Names of hosts from DNS, for ends of flows of which Kubernetes knows nothing (`network.reverse_dns`).
#[derive(Debug, Clone, confique::Config)]
pub struct ReverseDnsConfig {
    /// Where names come from: `none` (there are none), `local` (the system's name servers are asked, beside the
    /// pipeline), `ebpf` (answers that programs on this host get are overheard).
    #[config(default = "none", env = "NETWORK_REVERSE_DNS_TYPE")]
    pub type_: ReverseDnsType,
    /// Addresses that are remembered, at least 1.
    #[config(default = 256, env = "NETWORK_REVERSE_DNS_CACHE_LEN")]
    pub cache_len: usize,
    /// How long an answer of the system's name servers is remembered, and an overheard one at most.
    #[config(default = "1h", env = "NETWORK_REVERSE_DNS_CACHE_TTL")]
    pub cache_expiry: Duration,
}

/// Where names come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReverseDnsType {
    /// Nowhere.
    None,
    /// The system's name servers.
    Local,
    /// Answers that are overheard.
    Ebpf,
}
