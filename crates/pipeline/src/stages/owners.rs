// SPDX-License-Identifier: Apache-2.0
//! Says whose the ends of a flow are: the services of the local processes that own them, and who saw it.

use std::sync::Arc;

use vor_model::Flow;

use crate::{Services, Stage};

/// The stage.
pub struct Owners {
    services: Arc<Services>,
    agent: Option<Arc<str>>,
}

impl Owners {
    /// Finds services in `services`; the host that sees flows has the address `agent`.
    #[must_use]
    pub const fn new(services: Arc<Services>, agent: Option<Arc<str>>) -> Self {
        Self { services, agent }
    }
}

impl Stage<Flow> for Owners {
    fn name(&self) -> &'static str {
        "flow_owners"
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        for flow in batch {
            flow.agent.clone_from(&self.agent);
            flow.src_facts.service = flow.src_process.and_then(|of| self.services.of(of));
            flow.dst_facts.service = flow.dst_process.and_then(|of| self.services.of(of));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vor_model::ProcessKey;

    use super::*;
    use crate::flow::sample::flow;
    use crate::sample::service;

    #[test]
    fn an_end_of_an_observed_process_has_the_name_of_its_service() {
        let (services, cart) = (Services::new(Duration::ZERO), service("cart"));
        services.insert(ProcessKey::new(7, 0), Arc::clone(&cart));
        let mut batch = vec![flow("10.0.0.1:1", "10.0.0.2:2")];
        batch[0].src_process = Some(ProcessKey::new(8, 0));
        batch[0].dst_process = Some(ProcessKey::new(7, 0));
        Owners::new(services, Some("192.0.2.1".into())).apply(&mut batch);
        assert_eq!(batch[0].src_facts.service, None);
        assert_eq!(batch[0].dst_facts.service, Some(cart));
        assert_eq!(batch[0].agent.as_deref(), Some("192.0.2.1"));
    }
}
