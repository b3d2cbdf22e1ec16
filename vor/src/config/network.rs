// SPDX-License-Identifier: Apache-2.0
//! The section `network`. Its keys belong to several crates, each of which gets its own as values.

use std::net::IpAddr;

use vor_config::Duration;
use vor_enrich::dns::ReverseDnsConfig;
use vor_enrich::host::{AgentAddress, AgentInterface};
use vor_export::print::PrintFlows;
use vor_model::Key;
use vor_pipeline::flow::{DST_CIDR, IFACE, IFACE_DIRECTION, SRC_CIDR};
use vor_pipeline::stages::{CidrList, DedupConfig, Deduper, ProtocolList};
use vor_probe::flows::{
    Backend, Direction, FlowConfig, GuessPorts, Interfaces, Listen, MaxFlows, Source, Tunnels,
};

/// Network flows.
#[derive(Debug, Clone, confique::Config)]
pub(crate) struct NetworkConfig {
    /// Counts flows for all metric exporters. The feature `network` of one of them, or `print_flows`, switches flows on
    /// too.
    #[config(default = false, env = "NETWORK_METRICS")]
    pub enable: bool,
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
    /// The address by which others know this host, attribute `beyla.ip`. Not set: looked for, see below.
    #[config(env = "NETWORK_AGENT_IP")]
    pub agent_ip: Option<IpAddr>,
    /// Where to look for it: `external` (the address from which far hosts are reached), `local` (the first that is not
    /// loopback) or `name:INTERFACE`.
    #[config(default = "external", env = "NETWORK_AGENT_IP_IFACE")]
    pub agent_ip_iface: AgentInterface,
    /// Which kind of address it is: `any`, `ipv4` or `ipv6`.
    #[config(default = "any", env = "NETWORK_AGENT_IP_TYPE")]
    pub agent_ip_type: AgentAddress,
    /// Protocols whose flows are reported, such as `TCP,UDP`. Empty: all.
    #[config(default = [], env = "NETWORK_PROTOCOLS")]
    pub protocols: ProtocolList,
    /// Protocols whose flows are not reported; passed over when `protocols` names any.
    #[config(default = [], env = "NETWORK_EXCLUDE_PROTOCOLS")]
    pub exclude_protocols: ProtocolList,
    /// What is done about packets that pass several interfaces: `first_come` (the interface that saw them first counts
    /// them) or `none` (each counts them).
    #[config(default = "first_come", env = "NETWORK_DEDUPER")]
    pub deduper: Deduper,
    /// How long an interface may see no packets of a flow before another one may count it. 0: two times
    /// `cache_active_timeout`.
    #[config(default = "0", env = "NETWORK_DEDUPER_FC_TTL")]
    pub deduper_fc_ttl: Duration,
    /// Flows of which is remembered which interface counts them, at least 1. The one that was silent longest is forgotten
    /// first.
    #[config(default = 100_000, env = "NETWORK_DEDUPER_MAX_FLOWS")]
    pub deduper_max_flows: usize,
    /// Networks by which ends of flows are grouped, `10.0.0.0/8,10.1.0.0/16`: the narrowest becomes `src.cidr` and
    /// `dst.cidr`. In a file they may have names: `{cidr: 10.0.0.0/8, name: office}`.
    #[config(default = [], env = "NETWORK_CIDRS")]
    pub cidrs: CidrList,
    /// Names of hosts from DNS.
    #[config(nested)]
    pub reverse_dns: ReverseDnsConfig,
    /// Prints one line per reported flow: `true` (in JSON when spans are printed so, else as text), `text`, `json` or
    /// `false`.
    #[config(default = "false", env = "NETWORK_PRINT_FLOWS")]
    pub print_flows: PrintFlows,
    /// Flows that may wait in front of each exporter, 1 to 2^24.
    #[config(default = 65_536, env = "NETWORK_INBOX")]
    pub inbox: usize,
}

impl NetworkConfig {
    /// What the kernel side is told.
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

    /// Which interface counts what; `None`: all of them count.
    pub(crate) fn dedup(&self) -> Option<DedupConfig> {
        let silence = self.deduper_fc_ttl.get();
        let ttl = if silence.is_zero() { self.cache_active_timeout.get() * 2 } else { silence };
        let config = DedupConfig { ttl, max_flows: self.deduper_max_flows };
        (self.deduper == Deduper::FirstCome).then_some(config)
    }

    /// Optional attributes that become labels because of other settings.
    pub(crate) fn shown(&self) -> Vec<Key> {
        let place = (self.deduper == Deduper::None).then_some([IFACE, IFACE_DIRECTION]);
        let networks = (self.cidrs != CidrList::default()).then_some([SRC_CIDR, DST_CIDR]);
        [place, networks].into_iter().flatten().flatten().collect()
    }
}
