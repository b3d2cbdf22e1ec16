// SPDX-License-Identifier: Apache-2.0
//! Reports of 100,000 flows through every stage, the meter and the outlet: processor time per flow, memory.
//!
//! `cargo bench -p vor-pipeline --bench flows`. Each packet is seen at two interfaces, so half of the flows are dropped;
//! both ends of the others are pods, of which there are 200.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vor_health::Board;
use vor_model::{
    EndFacts, Flow, FlowEnd, FlowKey, Initiator, Interval, Mono, Passage, Place, ProcessKey,
    TcpStats, Workload,
};
use vor_pipeline::stages::{CidrList, Cidrs, Dedup, DedupConfig, Owners, ReverseDns, Workloads};
use vor_pipeline::{Chain, Directory, Meter, MeterConfig, Outlet, Services};

const FLOWS: u32 = 100_000;
const BATCH: usize = 512;
const REPORTS: u32 = 10;
const PODS: u32 = 200;

struct Pods(HashMap<IpAddr, Arc<Workload>>);

impl Directory for Pods {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        self.0.get(&ip).cloned()
    }

    fn of(&self, _process: ProcessKey) -> Option<Arc<Workload>> {
        None
    }
}

fn address(pod: u32) -> IpAddr {
    let [.., high, low] = (pod % PODS).to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

fn pods() -> Pods {
    let pod = |number: u32| {
        let name: Arc<str> = format!("pod-{number}").into();
        let place = Place {
            kind: "Pod",
            name: Arc::clone(&name),
            namespace: "shop".into(),
            owner_kind: "Deployment".into(),
            owner_name: format!("app-{}", number / 10).into(),
            node_name: "node-1".into(),
            node_ip: None,
            zone: format!("zone-{}", number % 3).into(),
            cluster: "prod".into(),
        };
        let workload = Workload { name, place: Some(place), ..Workload::default() };
        (address(number), Arc::new(workload))
    };
    Pods((0..PODS).map(pod).collect())
}

/// The `number`-th flow of a report.
fn flow(report: u32, number: u32) -> Flow {
    let (talk, iface) = (number / 2, 2 + number % 2);
    let start = u64::from(report) * 5_000_000_000 + u64::from(iface);
    let port = u16::try_from(talk % 50_000 + 1_024).unwrap_or_default();
    Flow {
        key: FlowKey {
            netns: 1,
            iface,
            passage: Passage::Ingress,
            protocol: 6,
            src: FlowEnd { ip: address(talk), port },
            dst: FlowEnd { ip: address(talk / 7 + 1), port: 8080 },
        },
        vlan: None,
        bytes: 1_500,
        packets: 3,
        time: Interval { start: Mono(start), end: Mono(start + 4_000_000_000) },
        tcp_flags: 0x18,
        tcp: TcpStats::default(),
        initiator: Some(Initiator::Src),
        src_process: None,
        dst_process: None,
        agent: None,
        iface_name: None,
        src_facts: EndFacts::default(),
        dst_facts: EndFacts::default(),
    }
}

/// What this thread has used of a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default()
}

fn main() -> Result<(), serde_json::Error> {
    let board = Board::new();
    let meter = Meter::new(MeterConfig::default(), &board);
    let names: Arc<dyn Directory> = Arc::new(pods());
    let cidrs: CidrList =
        serde_json::from_str(r#"["10.0.0.0/8", "10.0.1.0/24", "192.168.0.0/16"]"#)?;
    let dedup = DedupConfig { ttl: Duration::from_secs(10), max_flows: 100_000 };
    let mut chain = Chain::new("flows", Arc::clone(&board))
        .stage(Dedup::new(dedup, &board))
        .stage(Owners::new(Services::new(Duration::ZERO), Some("192.0.2.1".into())))
        .maybe(Cidrs::new(&cidrs))
        .stage(Workloads::new(Arc::clone(&names), false))
        .stage(ReverseDns::new(names))
        .stage(meter.tap());
    let mut outlet = Outlet::new(65_536, Arc::clone(&board));
    let mut inbox = outlet.open("bench");
    let before = resident();
    let mut spent = Duration::ZERO;
    for report in 0..REPORTS {
        let mut batch = Vec::with_capacity(BATCH);
        for number in 0..FLOWS {
            batch.push(flow(report, number));
            if batch.len() == BATCH || number + 1 == FLOWS {
                let start = processor_time();
                chain.run(&mut batch);
                outlet.put(&mut batch);
                spent += processor_time().saturating_sub(start);
                drop(inbox.try_recv());
                batch.clear();
            }
        }
    }
    let count = |stage, what| board.counter(stage, what).get();
    let (given, dropped) = (count("flows", "out"), count("flows", "lost.stage"));
    let per_flow = spent.as_nanos() / u128::from(FLOWS * REPORTS);
    eprintln!("{REPORTS} reports of {FLOWS} flows: {per_flow} ns per flow, {spent:?} in all");
    eprintln!("{given} counted, {dropped} seen elsewhere; {} series", count("meter", "series"));
    eprintln!(
        "memory: {} KiB more than before the first report",
        resident().saturating_sub(before)
    );
    Ok(())
}
