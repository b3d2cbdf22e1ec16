// SPDX-License-Identifier: Apache-2.0
//! Flows and directories for tests.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use vor_model::{
    EndFacts, Flow, FlowEnd, FlowKey, Initiator, Interval, Mono, Passage, Place, ProcessKey,
    TcpStats, Workload,
};

use crate::Directory;

/// Two packets of TCP from `src` to `dst`, which `src` began.
pub(crate) fn flow(src: &str, dst: &str) -> Flow {
    let end = |at: &str| {
        let at: SocketAddr = at.parse().unwrap();
        FlowEnd { ip: at.ip(), port: at.port() }
    };
    Flow {
        key: FlowKey {
            netns: 1,
            iface: 2,
            passage: Passage::Egress,
            protocol: 6,
            src: end(src),
            dst: end(dst),
        },
        vlan: None,
        bytes: 140,
        packets: 2,
        time: Interval { start: Mono(1_000), end: Mono(2_000) },
        tcp_flags: 0x12,
        tcp: TcpStats::default(),
        initiator: Some(Initiator::Src),
        src_process: None,
        dst_process: None,
        agent: None,
        iface_name: Some("eth0".into()),
        src_facts: EndFacts::default(),
        dst_facts: EndFacts::default(),
    }
}

/// A pod of a deployment of the same name, on a node in `zone`.
pub(crate) fn pod(name: &str, zone: &str) -> Arc<Workload> {
    Arc::new(Workload {
        name: name.into(),
        namespace: "shop".into(),
        named_by: "deployment",
        place: Some(Place {
            kind: "Pod",
            name: format!("{name}-abc").into(),
            namespace: "shop".into(),
            owner_kind: "Deployment".into(),
            owner_name: name.into(),
            node_name: "node-1".into(),
            node_ip: Some("192.0.2.9".parse().unwrap()),
            zone: zone.into(),
            cluster: "prod".into(),
        }),
        ..Workload::default()
    })
}

/// A host with a name.
pub(crate) fn host(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        name: name.into(),
        namespace: "".into(),
        named_by: "dns",
        place: None,
        ..Workload::default()
    })
}

/// A directory that never changes.
#[derive(Clone, Default)]
pub(crate) struct Book {
    hosts: HashMap<IpAddr, Arc<Workload>>,
    processes: HashMap<ProcessKey, Arc<Workload>>,
}

impl Book {
    pub(crate) fn new<const N: usize>(hosts: [(&str, Arc<Workload>); N]) -> Self {
        let hosts = hosts.into_iter().map(|(ip, host)| (ip.parse().unwrap(), host)).collect();
        Self { hosts, processes: HashMap::new() }
    }

    pub(crate) fn with(mut self, process: ProcessKey, workload: Arc<Workload>) -> Self {
        self.processes.insert(process, workload);
        self
    }
}

impl Directory for Book {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        self.hosts.get(&ip).cloned()
    }

    fn of(&self, process: ProcessKey) -> Option<Arc<Workload>> {
        self.processes.get(&process).cloned()
    }
}
