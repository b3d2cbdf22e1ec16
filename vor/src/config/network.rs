// SPDX-License-Identifier: Apache-2.0
//! The section `network`. Its keys belong to several crates, each of which gets its own as values.

use vor_config::Duration;
use vor_probe::flows::{
    Backend, Direction, FlowConfig, GuessPorts, Interfaces, Listen, MaxFlows, Source, Tunnels,
};

/// Network flows.
#[derive(Debug, Clone, confique::Config)]
pub(crate) struct NetworkConfig {
    /// Where packets are seen: `socket_filter` (packet sockets) or `tc` (traffic control).
    #[config(default = "socket_filter", env = "NETWORK_SOURCE")]
    pub source: Source,
    /// Interfaces that are watched, by name or by regular expression: `eth0,/^veth/`. Empty: all.
    #[config(default = "", env = "NETWORK_INTERFACES")]
    pub interfaces: Interfaces,
    /// Interfaces that are not watched even if `interfaces` has them.
    #[config(default = "lo", env = "NETWORK_EXCLUDE_INTERFACES")]
    pub exclude_interfaces: Interfaces,
    /// Which way packets are to pass an interface to be counted: `ingress`, `egress` or `both`.
    #[config(default = "both", env = "NETWORK_DIRECTION")]
    pub direction: Direction,
    /// Looks at one of so many packets, and counts it for all of them. 0: at every packet.
    #[config(default = 0, env = "NETWORK_SAMPLING")]
    pub sampling: u32,
    /// Flows that the kernel counts at once, from 1 to 4194304. A packet of a flow beyond them comes to user space
    /// by itself.
    #[config(default = 5000, env = "NETWORK_CACHE_MAX_FLOWS")]
    pub cache_max_flows: MaxFlows,
    /// Time between two reports of a flow.
    #[config(default = "5s", env = "NETWORK_CACHE_ACTIVE_TIMEOUT")]
    pub cache_active_timeout: Duration,
    /// Who is taken for the initiator of a connection whose handshake was not seen: `disable` (nobody) or
    /// `ordinal` (the end with the higher port).
    #[config(default = "disable", env = "NETWORK_GUESS_PORTS")]
    pub guess_ports: GuessPorts,
    /// Whose addresses make the flow of a packet inside VXLAN, Geneve, GRE or IP in IP: `outer` (the tunnel's ends)
    /// or `inner`.
    #[config(default = "outer", env = "NETWORK_TUNNELS")]
    pub tunnels: Tunnels,
    /// How new interfaces are found: `watch` (the kernel tells) or `poll`.
    #[config(default = "watch", env = "NETWORK_LISTEN_INTERFACES")]
    pub listen_interfaces: Listen,
    /// Time between two looks at the lists of interfaces and namespaces.
    #[config(default = "10s", env = "NETWORK_LISTEN_POLL_PERIOD")]
    pub listen_poll_period: Duration,
    /// Watches interfaces in all network namespaces, not only in vor's own.
    #[config(default = false, env = "NETWORK_ALL_NAMESPACES")]
    pub all_namespaces: bool,
}

impl NetworkConfig {
    /// What the kernel side is told.
    #[expect(dead_code, reason = "the flow tracer is wired next")]
    pub(crate) fn flows(&self, backend: Backend, dns: bool) -> FlowConfig {
        FlowConfig {
            source: self.source,
            interfaces: self.interfaces.clone(),
            exclude_interfaces: self.exclude_interfaces.clone(),
            direction: self.direction,
            sampling: self.sampling,
            max_flows: self.cache_max_flows,
            period: self.cache_active_timeout.get(),
            guess_ports: self.guess_ports,
            tunnels: self.tunnels,
            listen: self.listen_interfaces.clone(),
            poll_period: self.listen_poll_period.get(),
            all_namespaces: self.all_namespaces,
            backend,
            dns,
        }
    }
}
