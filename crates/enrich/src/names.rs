// SPDX-License-Identifier: Apache-2.0
//! All sources of names, as one directory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vor_model::{Lookup, ProcessKey, Workload};
use vor_pipeline::Directory;

use crate::kube::Store;

/// Names by address, container and process.
#[derive(Debug)]
pub struct Names {
    cluster: Option<Arc<Store>>,
    /// The containers of observed processes.
    places: Mutex<HashMap<ProcessKey, Arc<str>>>,
}

impl Names {
    /// Names from these sources.
    #[must_use]
    pub fn new(cluster: Option<Arc<Store>>) -> Arc<Self> {
        Arc::new(Self { cluster, places: Mutex::default() })
    }

    /// What is known of a container.
    #[must_use]
    pub fn find(&self, container: &Arc<str>) -> Lookup {
        let Some(cluster) = &self.cluster else { return Lookup::Unknown };
        // Whose pod is not known may be known soon: the kubelet tells of a container after it has begun.
        cluster.of(container).map_or(Lookup::Awaited, Lookup::Known)
    }

    /// Rises when [`Names::find`] may answer otherwise than before.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.cluster.as_ref().map_or(0, |cluster| cluster.revision())
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

impl Directory for Names {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        self.cluster.as_ref()?.at(ip)
    }

    fn of(&self, process: ProcessKey) -> Option<Arc<Workload>> {
        let container = self.places().get(&process).cloned()?;
        self.find(&container).workload().cloned()
    }
}
