// SPDX-License-Identifier: Apache-2.0
//! Who talks to whom.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::attrs::Attrs;
use crate::labels::Labels;

/// One connection of one socket, never reused while vor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The kernel's name for the socket; reused by later sockets.
    pub socket: u64,
    /// Counts the connections that vor has seen.
    pub serial: u64,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An IP address and port. IPv4 is never written as mapped IPv6.
    Inet(SocketAddr),
    /// A unix socket: its path (abstract names start with `@`), empty when it has none.
    Unix(Arc<str>),
}

impl Endpoint {
    /// The port, if it has one that is not 0.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(at) if at.port() != 0 => Some(at.port()),
            Self::Inet(_) | Self::Unix(_) => None,
        }
    }

    /// Whether it says where: a unix socket may have no name, and what a library was seen to do may be known
    /// without its connection.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Inet(at) => !at.ip().is_unspecified(),
            Self::Unix(path) => !path.is_empty(),
        }
    }

    /// The address without the port: an IP address or a path.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Inet(at) => at.ip().to_string(),
            Self::Unix(path) => path.to_string(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(at) => at.fmt(f),
            Self::Unix(path) if path.is_empty() => f.write_str("unix:unnamed"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP (and MPTCP).
    Tcp,
    /// A stream socket of the unix family.
    Unix,
}

/// A connection as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Identity of the connection at this end.
    pub id: ConnId,
    /// What carries the bytes.
    pub transport: Transport,
    /// Whether the bytes that are to be understood were read inside of TLS.
    pub tls: bool,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

/// Which part the observed process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// It asks.
    Client,
    /// It answers.
    Server,
}

impl Side {
    /// The part the peer plays.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Connection {
    /// The asking end, when this process plays `side`.
    #[must_use]
    pub const fn client(&self, side: Side) -> &Endpoint {
        match side {
            Side::Client => &self.local,
            Side::Server => &self.remote,
        }
    }

    /// The answering end, when this process plays `side`.
    #[must_use]
    pub const fn server(&self, side: Side) -> &Endpoint {
        self.client(side.other())
    }
}

/// What stands behind an address or a process: a pod, a service, a node, a container, a host with a name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Workload {
    /// The name by which people know it.
    pub name: Arc<str>,
    /// Its namespace, empty when it has none.
    pub namespace: Arc<str>,
    /// The rule that gave the name, in words that a log line shows.
    pub named_by: &'static str,
    /// Where in Kubernetes it is, when it is there.
    pub place: Option<Place>,
    /// Its labels, by which it may be selected.
    pub labels: Labels,
    /// Its annotations, likewise.
    pub annotations: Labels,
    /// Everything else that is known of it, as resource attributes (`k8s.*`, `container.*`, `service.*`, …).
    pub attrs: Attrs,
}

/// An object of Kubernetes as one end of a flow. Text that is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `Pod`, `Service` or `Node`.
    pub kind: &'static str,
    /// The object's own name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Kind of what owns it, at the top of the chain; the object's own when nothing does.
    pub owner_kind: Arc<str>,
    /// Name of what owns it.
    pub owner_name: Arc<str>,
    /// The node that a pod runs on.
    pub node_name: Arc<str>,
    /// That node's address.
    pub node_ip: Option<IpAddr>,
    /// Availability zone.
    pub zone: Arc<str>,
    /// The cluster's name.
    pub cluster: Arc<str>,
}

/// What a lookup that does not wait knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// This.
    Known(Arc<Workload>),
    /// Nothing yet; there may be more soon.
    Awaited,
    /// Nothing, and nothing will be.
    Unknown,
}

impl Lookup {
    /// What is known.
    #[must_use]
    pub fn workload(&self) -> Option<&Arc<Workload>> {
        match self {
            Self::Known(workload) => Some(workload),
            Self::Awaited | Self::Unknown => None,
        }
    }
}
