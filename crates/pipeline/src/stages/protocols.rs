// SPDX-License-Identifier: Apache-2.0
//! Keeps flows of chosen protocols.

use serde::Deserialize;
use vor_model::Flow;

use crate::{Stage, protocol_names};

/// Protocols by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct ProtocolList(Vec<u8>);

impl TryFrom<Vec<String>> for ProtocolList {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let names = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        let numbers = names.map(|name| {
            protocol_names::number(name).ok_or_else(|| {
                format!("there is no protocol {name:?}; there are {}", protocol_names::all())
            })
        });
        numbers.collect::<Result<_, _>>().map(Self)
    }
}

/// The stage.
#[derive(Debug)]
pub struct Protocols {
    listed: Vec<u8>,
    /// Whether those that are listed stay, or all others.
    stay: bool,
}

impl Protocols {
    /// Keeps `wanted`, or, when there are none, everything but `unwanted`. `None`: there is nothing to do.
    #[must_use]
    pub fn new(wanted: &ProtocolList, unwanted: &ProtocolList) -> Option<Self> {
        match (wanted.0.as_slice(), unwanted.0.as_slice()) {
            ([], []) => None,
            ([], unwanted) => Some(Self { listed: unwanted.to_vec(), stay: false }),
            (wanted, _) => Some(Self { listed: wanted.to_vec(), stay: true }),
        }
    }
}

impl Stage<Flow> for Protocols {
    fn name(&self) -> &'static str {
        "flow_protocols"
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        batch.retain(|flow| self.listed.contains(&flow.key.protocol) == self.stay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::sample::flow;

    fn list(names: &[&str]) -> ProtocolList {
        ProtocolList::try_from(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            .unwrap()
    }

    #[test]
    fn what_is_wanted_stays_and_otherwise_what_is_not_unwanted() {
        let batch = || {
            let of = |protocol| {
                let mut flow = flow("10.0.0.1:1", "10.0.0.2:2");
                flow.key.protocol = protocol;
                flow
            };
            vec![of(6), of(17), of(58)]
        };
        for (wanted, unwanted, left) in [
            (&["tcp", "UDP"][..], &["tcp"][..], &[6, 17][..]),
            (&[], &["Tcp"], &[17, 58]),
            (&["icmpv6"], &[], &[58]),
        ] {
            let mut batch = batch();
            Protocols::new(&list(wanted), &list(unwanted)).unwrap().apply(&mut batch);
            assert_eq!(batch.iter().map(|flow| flow.key.protocol).collect::<Vec<_>>(), left);
        }
        assert!(Protocols::new(&list(&[]), &list(&[" "])).is_none());
    }

    #[test]
    fn a_protocol_that_does_not_exist_is_refused_by_name() {
        let refused = ProtocolList::try_from(vec!["TCP".to_owned(), "TPC".to_owned()]);
        assert!(refused.unwrap_err().starts_with("there is no protocol \"TPC\"; there are TCP, "));
    }
}
