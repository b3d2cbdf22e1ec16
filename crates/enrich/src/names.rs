// SPDX-License-Identifier: Apache-2.0
//! All sources of names, as one directory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vor_model::{Lookup, ProcessKey, Workload};
use vor_pipeline::Directory;

use crate::container::Engines;
use crate::kube::Store;

/// Names by address, container and process.
#[derive(Debug)]
pub struct Names {
    cluster: Option<Arc<Store>>,
    engines: Option<Arc<Engines>>,
    /// The containers of observed processes.
    places: Mutex<HashMap<ProcessKey, Arc<str>>>,
}

impl Names {
    /// Names from these sources.
    #[must_use]
    pub fn new(cluster: Option<Arc<Store>>, engines: Option<Arc<Engines>>) -> Arc<Self> {
        Arc::new(Self { cluster, engines, places: Mutex::default() })
    }

    /// Whether anybody can say anything of containers.
    #[must_use]
    pub const fn knows_containers(&self) -> bool {
        self.cluster.is_some() || self.engines.is_some()
    }

    /// What is known of a container. The cluster's word counts before the engine's.
    #[must_use]
    pub fn find(&self, container: &Arc<str>) -> Lookup {
        if let Some(workload) = self.cluster.as_ref().and_then(|cluster| cluster.of(container)) {
            return Lookup::Known(workload);
        }
        match self.engines.as_ref().map(|engines| engines.find(container)) {
            Some(Lookup::Unknown) | None if self.cluster.is_none() => Lookup::Unknown,
            // Of a container of Kubernetes the cluster is going to say more.
            Some(Lookup::Known(found)) if self.cluster.is_none() || !is_of_kubernetes(&found) => {
                Lookup::Known(found)
            }
            // Whose pod is not known may be known soon: the kubelet tells of a container after it has begun.
            Some(_) | None => Lookup::Awaited,
        }
    }

    /// Rises when [`Names::find`] may answer otherwise than before.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let cluster = self.cluster.as_ref().map_or(0, |cluster| cluster.revision());
        cluster + self.engines.as_ref().map_or(0, |engines| engines.revision())
    }

    /// `process` is observed and in `container`.
    pub fn place(&self, process: ProcessKey, container: Arc<str>) {
        self.places().insert(process, container);
    }

    /// `process` is observed no more.
    pub fn forget(&self, process: ProcessKey) {
        self.places().remove(&process);
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ProcessKey, Arc<str>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the kubelet had this container made.
fn is_of_kubernetes(found: &Workload) -> bool {
    found.labels.get("io.kubernetes.pod.uid").is_some()
}

impl Directory for Names {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        self.cluster.as_ref()?.at(ip)
    }

    fn of(&self, process: ProcessKey) -> Option<Arc<Workload>> {
        let container = self.places().get(&process).cloned()?;
        self.find(&container).workload().cloned()
    }
}
