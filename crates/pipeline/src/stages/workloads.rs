// SPDX-License-Identifier: Apache-2.0
//! Says what workloads (pods, services, nodes) the ends of a flow are.

use std::net::IpAddr;
use std::sync::Arc;

use vor_model::{Flow, ProcessKey, Workload};

use crate::{Directory, Stage};

/// The stage.
pub struct Workloads {
    directory: Arc<dyn Directory>,
    drop_external: bool,
}

impl Workloads {
    /// Asks `directory`; with `drop_external`, flows of which it does not know both ends are dropped.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, drop_external: bool) -> Self {
        Self { directory, drop_external }
    }

    /// The process knows better: an address may be that of a node, and of all pods that use its network.
    fn find(&self, process: Option<ProcessKey>, ip: IpAddr) -> Option<Arc<Workload>> {
        process.and_then(|process| self.directory.of(process)).or_else(|| self.directory.at(ip))
    }
}

impl Stage<Flow> for Workloads {
    fn name(&self) -> &'static str {
        "flow_workloads"
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        batch.retain_mut(|flow| {
            flow.src_facts.workload = self.find(flow.src_process, flow.key.src.ip);
            flow.dst_facts.workload = self.find(flow.dst_process, flow.key.dst.ip);
            let known = flow.src_facts.workload.is_some() && flow.dst_facts.workload.is_some();
            known || !self.drop_external
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::sample::{Book, flow, pod};

    #[test]
    fn a_process_says_more_than_an_address_and_strangers_can_be_dropped() {
        let book = Book::new([("10.0.0.1", pod("web", "a")), ("10.0.0.2", pod("node", "a"))]);
        let book = book.with(ProcessKey::new(7, 0), pod("host-net", "a"));
        let mut batch = vec![flow("10.0.0.1:1", "10.0.0.2:2"), flow("10.0.0.1:1", "8.8.8.8:2")];
        batch[0].dst_process = Some(ProcessKey::new(7, 0));
        let name = |end: &vor_model::EndFacts| end.workload.as_ref().map(|w| w.name.to_string());
        let mut all = batch.clone();
        Workloads::new(Arc::new(book.clone()), false).apply(&mut all);
        assert_eq!(name(&all[0].src_facts).as_deref(), Some("web"));
        assert_eq!(name(&all[0].dst_facts).as_deref(), Some("host-net"));
        assert_eq!((all.len(), name(&all[1].dst_facts)), (2, None));
        Workloads::new(Arc::new(book), true).apply(&mut batch);
        assert_eq!(batch.len(), 1);
    }
}
