// SPDX-License-Identifier: Apache-2.0
//! Between discovery and everybody who has to know: the kernel side, the names of services, the names of containers.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tracing::{debug, info};
use vor_config::Propagation;
use vor_discover::{Containers, Event, Target};
use vor_enrich::Names;
use vor_model::{Lookup, Mono};
use vor_pipeline::{Services, now};
use vor_probe::{Descend, Handle};

use crate::wire::Whom;

/// What is known of containers, for discovery.
pub(crate) struct Known(Arc<Names>);

impl Known {
    /// What `names` know, if they know containers.
    pub(crate) fn containers(names: Arc<Names>) -> Option<Arc<dyn Containers>> {
        let known = names.knows_containers().then(|| Arc::new(Self(names)));
        known.map(|known| -> Arc<dyn Containers> { known })
    }
}

impl Containers for Known {
    fn find(&self, container: &Arc<str>) -> Lookup {
        self.0.find(container)
    }

    fn revision(&self) -> u64 {
        self.0.revision()
    }
}

/// Carries what discovery finds to the kernel side and to the names of services.
pub(crate) struct Observe {
    services: Arc<Services>,
    probe: Handle,
    names: Arc<Names>,
    descend: Descend,
    /// How trace context is written by those of whom nothing else is said.
    propagation: Propagation,
    /// How long a name that may improve is waited for.
    name_wait: Duration,
    first: SyncSender<()>,
}

impl Observe {
    /// Tells `first` when the first process is observed.
    pub(crate) fn new(
        services: Arc<Services>,
        probe: Handle,
        names: Arc<Names>,
        whom: &Whom,
        propagation: Propagation,
        name_wait: Duration,
        first: SyncSender<()>,
    ) -> Self {
        let descend = match whom {
            Whom::Selected => Descend::No,
            Whom::Family { .. } => Descend::Yes,
        };
        Self { services, probe, names, descend, propagation, name_wait, first }
    }

    pub(crate) fn tell(&self, event: Event) {
        match event {
            Event::Found(target) => {
                if !self.admit(&target) {
                    return;
                }
                // Nobody waits for the later ones.
                let _ = self.first.try_send(());
                let Target { process, service, .. } = &target;
                info!(
                    pid = process.key.pid,
                    service = %service.qualified_name(),
                    named_by = target.named_by,
                    language = service.language.as_str(),
                    exe = %process.exe.display(),
                    "observing"
                );
            }
            Event::Renamed(target) => {
                self.admit(&target);
                let Target { process, service, named_by, .. } = &target;
                let service = service.qualified_name();
                debug!(pid = process.key.pid, %service, named_by, "renamed");
            }
            Event::Gone(process) => {
                self.services.remove(process, now());
                self.names.forget(process);
                self.probe.retire(process);
                debug!(pid = process.pid, "gone");
            }
        }
    }

    /// The name first: what the process says from now on is to find it.
    fn admit(&self, target: &Target) -> bool {
        let key = target.process.key;
        let service = Arc::clone(&target.service);
        if target.awaited {
            let wait = u64::try_from(self.name_wait.as_nanos()).unwrap_or(u64::MAX);
            self.services.expect(key, service, Mono(now().0.saturating_add(wait)));
        } else {
            self.services.insert(key, service);
        }
        if let Some(container) = &target.container {
            self.names.place(key, Arc::clone(container));
        }
        self.probe.admit(key, self.descend, target.propagation.unwrap_or(self.propagation))
    }
}
