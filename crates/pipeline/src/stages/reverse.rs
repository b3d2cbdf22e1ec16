// SPDX-License-Identifier: Apache-2.0
//! Says what DNS calls the ends of a flow of which no workload is known.

use std::net::IpAddr;
use std::sync::Arc;

use vor_model::{EndFacts, Flow};

use crate::{Directory, Stage};

/// The stage.
pub struct ReverseDns(Arc<dyn Directory>);

impl ReverseDns {
    /// Takes names from `directory`, which knows hosts.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self(directory)
    }

    fn name(&self, ip: IpAddr, facts: &mut EndFacts) {
        let anybody = ip.is_unspecified() || ip.is_multicast();
        if facts.workload.is_none() && !anybody {
            facts.host = self.0.at(ip).map(|host| Arc::clone(&host.name));
        }
    }
}

impl Stage<Flow> for ReverseDns {
    fn name(&self) -> &'static str {
        "flow_reverse_dns"
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        for flow in batch {
            self.name(flow.key.src.ip, &mut flow.src_facts);
            self.name(flow.key.dst.ip, &mut flow.dst_facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::sample::{Book, flow, host, pod};

    #[test]
    fn a_host_is_named_unless_a_workload_is_known_already() {
        let book = Book::new([("10.0.0.1", host("one.test")), ("10.0.0.2", host("two.test"))]);
        let mut batch = vec![flow("10.0.0.1:1", "10.0.0.2:2")];
        batch[0].dst_facts.workload = Some(pod("web", "a"));
        ReverseDns::new(Arc::new(book)).apply(&mut batch);
        assert_eq!(batch[0].src_facts.host.as_deref(), Some("one.test"));
        assert_eq!(batch[0].dst_facts.host, None);
    }
}
