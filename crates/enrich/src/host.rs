// SPDX-License-Identifier: Apache-2.0
//! The address by which others know this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use serde::Deserialize;

/// Addresses of public name servers; nothing is sent there, they only have the kernel choose a way out.
const FAR_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), 80);
const FAR_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)), 80);

/// Which of the host's addresses is meant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AgentInterface {
    /// The one that packets to far away leave from; without such a way the first of the next kind.
    External,
    /// The first that is not loopback.
    Local,
    /// The first of this interface.
    Named(String),
}

impl TryFrom<String> for AgentInterface {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.strip_prefix("name:")) {
            ("external", _) => Ok(Self::External),
            ("local", _) => Ok(Self::Local),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Named(name.to_owned())),
            _ => Err(format!("{text:?} is none of external, local and name:INTERFACE")),
        }
    }
}

/// Which kind of address is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentAddress {
    /// Any.
    Any,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl AgentAddress {
    const fn fits(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => ip.is_ipv4(),
            Self::Ipv6 => ip.is_ipv6(),
        }
    }
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel does not tell addresses.
    #[error("cannot list the addresses of this host: {0}")]
    List(io::Error),
    /// An interface that was asked for has none.
    #[error("interface {0:?} does not exist or has no address of that type")]
    Interface(String),
}

/// The address of this host that is meant; `None`: it has none of that kind.
pub fn agent(which: &AgentInterface, kind: AgentAddress) -> Result<Option<IpAddr>, AgentError> {
    if *which == AgentInterface::External
        && let Some(ip) = way_out(kind).filter(|ip| kind.fits(*ip) && !ip.is_loopback())
    {
        return Ok(Some(ip));
    }
    let all = if_addrs::get_if_addrs().map_err(AgentError::List)?;
    let mut fitting = all.iter().filter(|addr| kind.fits(addr.ip()));
    match which {
        AgentInterface::Named(name) => match fitting.find(|addr| addr.name == *name) {
            Some(addr) => Ok(Some(addr.ip())),
            None => Err(AgentError::Interface(name.clone())),
        },
        AgentInterface::External | AgentInterface::Local => {
            Ok(fitting.find(|addr| !addr.is_loopback()).map(if_addrs::Interface::ip))
        }
    }
}

/// The address that packets to far away would have.
fn way_out(kind: AgentAddress) -> Option<IpAddr> {
    let (own, far) = match kind {
        AgentAddress::Any | AgentAddress::Ipv4 => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), FAR_V4),
        AgentAddress::Ipv6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), FAR_V6),
    };
    let socket = UdpSocket::bind((own, 0)).ok()?;
    socket.connect(far).ok()?;
    socket.local_addr().ok().map(|at| at.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_one_of_three_words() {
        let read = |text: &str| AgentInterface::try_from(text.to_owned());
        assert_eq!(read("external"), Ok(AgentInterface::External));
        assert_eq!(read("local"), Ok(AgentInterface::Local));
        assert_eq!(read("name:eth0"), Ok(AgentInterface::Named("eth0".into())));
        for wrong in ["eth0", "name:", ""] {
            assert!(read(wrong).unwrap_err().contains("name:INTERFACE"));
        }
    }

    #[test]
    fn the_loopback_interface_has_its_addresses_and_others_must_exist() {
        let of = |name: &str, kind| agent(&AgentInterface::Named(name.to_owned()), kind);
        let v4 = of("lo", AgentAddress::Ipv4).unwrap();
        assert_eq!(v4, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let missing = of("none-such", AgentAddress::Any).unwrap_err().to_string();
        assert!(missing.contains("none-such"), "{missing}");
        for which in [AgentInterface::External, AgentInterface::Local] {
            let found = agent(&which, AgentAddress::Any).unwrap();
            assert!(found.is_none_or(|ip| !ip.is_loopback()), "{found:?}");
        }
    }
}
