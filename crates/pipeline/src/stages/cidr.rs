// SPDX-License-Identifier: Apache-2.0
//! Says in which of the configured networks each end lies: the narrowest.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use serde::Deserialize;
use vor_model::{EndFacts, Flow};

use crate::Stage;

/// Networks, each with what it is called: as it is written, unless it has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Entry>")]
pub struct CidrList(Vec<(IpNet, Arc<str>)>);

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Entry {
    Plain(String),
    Named { cidr: String, name: String },
}

impl TryFrom<Vec<Entry>> for CidrList {
    type Error = String;

    fn try_from(entries: Vec<Entry>) -> Result<Self, String> {
        let network = |entry: Entry| {
            let (text, name) = match entry {
                Entry::Plain(text) => (text.clone(), text),
                Entry::Named { cidr, name } => (cidr, name),
            };
            let text = text.trim();
            let network: IpNet = text.parse().map_err(|_| {
                format!("{text:?} is not a network such as 10.0.0.0/8 or 2001:db8::/32")
            })?;
            Ok((network, name.trim().into()))
        };
        entries.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// The stage.
pub struct Cidrs {
    v4: PrefixMap<Ipv4Net, Arc<str>>,
    v6: PrefixMap<Ipv6Net, Arc<str>>,
}

impl Cidrs {
    /// Looks for `networks`. `None`: there are none.
    #[must_use]
    pub fn new(networks: &CidrList) -> Option<Self> {
        let mut stage = Self { v4: PrefixMap::new(), v6: PrefixMap::new() };
        for (network, name) in &networks.0 {
            match network {
                IpNet::V4(network) => stage.v4.insert(*network, Arc::clone(name)),
                IpNet::V6(network) => stage.v6.insert(*network, Arc::clone(name)),
            };
        }
        (!networks.0.is_empty()).then_some(stage)
    }

    fn around(&self, ip: IpAddr) -> Option<&Arc<str>> {
        match ip {
            IpAddr::V4(ip) => self.v4.get_lpm(&ip.into()).map(|(_, name)| name),
            IpAddr::V6(ip) => self.v6.get_lpm(&ip.into()).map(|(_, name)| name),
        }
    }
}

impl Stage<Flow> for Cidrs {
    fn name(&self) -> &'static str {
        "flow_cidrs"
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        let place = |ip, facts: &mut EndFacts| facts.cidr = self.around(ip).cloned();
        for flow in batch {
            place(flow.key.src.ip, &mut flow.src_facts);
            place(flow.key.dst.ip, &mut flow.dst_facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::sample::flow;

    fn list(json: &str) -> Result<CidrList, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_narrowest_network_counts_and_is_called_as_it_is_written() {
        let networks = list(
            r#"["10.0.0.0/8", "10.1.2.3/16", {"cidr": "10.1.2.0/24", "name": "pods"}, "::/0", "fd00::/8", "0.0.0.0/32"]"#,
        );
        let mut stage = Cidrs::new(&networks.unwrap()).unwrap();
        for (address, expected) in [
            ("10.9.9.9", Some("10.0.0.0/8")),
            ("10.1.9.9", Some("10.1.2.3/16")),
            ("10.1.2.9", Some("pods")),
            ("192.168.0.1", None),
            ("fd00::1", Some("fd00::/8")),
            ("2001:db8::1", Some("::/0")),
            ("0.0.0.0", Some("0.0.0.0/32")),
        ] {
            let mut batch = vec![flow("10.9.9.9:1", "10.9.9.9:2")];
            batch[0].key.dst.ip = address.parse().unwrap();
            stage.apply(&mut batch);
            assert_eq!(batch[0].dst_facts.cidr.as_deref(), expected, "{address}");
            assert_eq!(batch[0].src_facts.cidr.as_deref(), Some("10.0.0.0/8"));
        }
        assert!(Cidrs::new(&CidrList::default()).is_none());
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8", ""] {
            let refused = list(&format!("[{wrong:?}]")).unwrap_err().to_string();
            assert!(refused.contains(&format!("{wrong:?} is not a network")), "{refused}");
        }
    }
}
