// SPDX-License-Identifier: Apache-2.0
//! A hundred agents on one `vor kube-cache`: what it costs, and what a restart of it tells them again.
//!
//! `cargo bench --bench kube_cache -- --vor PATH` prints one line per figure: what, a tab, how much.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_macros,
    reason = "a measurement that cannot go on may end as it likes"
)]

use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use confique::Config;
use serde_json::json;
use vor_apiserver::{ApiServer, Options, Size};
use vor_enrich::kube::{Enable, Follow, Kind, KubernetesConfig, Scope, Store};
use vor_health::{Board, Verdict};

const AGENTS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);
/// Changes in a second, and for how many seconds.
const RATE: u32 = 50;
const SECONDS: u32 = 10;
/// Changes while the cache is away.
const MISSED: usize = 20;
/// Ticks of the processor's clock in a second, as the kernel counts for user space.
const TICKS: f64 = 100.0;

fn main() {
    let args: Vec<_> = std::env::args().collect();
    let at = args.iter().position(|arg| arg == "--vor").map(|at| at + 1);
    let Some(vor) = at.and_then(|at| args.get(at)) else {
        // `cargo test` builds and runs benchmarks too.
        return;
    };
    measure(Path::new(vor));
}

fn measure(vor: &Path) {
    let api = ApiServer::start(&Options::default()).unwrap();
    api.cluster().generate(Size::default()).unwrap();
    let access = tempfile::tempdir().unwrap();
    api.write_access(access.path()).unwrap();
    let ports = [free_port(), free_port()];
    let started = Instant::now();
    let cache = Cache::start(vor, access.path(), ports);
    say("the cache answers after", format_args!("{:.1} s", started.elapsed().as_secs_f64()));

    let begun = Instant::now();
    let agents: Vec<_> = (0..AGENTS).map(|_| Agent::start(ports[0])).collect();
    until(|| agents.iter().all(Agent::is_synced));
    let everything = cache.told();
    say(
        "first: 100 agents know everything after",
        format!("{:.1} s", begun.elapsed().as_secs_f64()),
    );
    say("first: objects told", everything.0);
    say("first: MiB told", mib(everything.1));
    say("first: processor time of the cache", format_args!("{:.1} s", cache.cpu()));

    let (cpu, told, begun) = (cache.cpu(), cache.told(), Instant::now());
    for tick in 1..=RATE * SECONDS {
        api.cluster().touch(1);
        thread::sleep(
            (begun + Duration::from_secs(1) / RATE * tick)
                .saturating_duration_since(Instant::now()),
        );
    }
    let percent = (cache.cpu() - cpu) / begun.elapsed().as_secs_f64() * 100.0;
    say("50 changes/s to 100 agents, of one processor", format_args!("{percent:.1} %"));
    until(|| cache.told().0 >= told.0 + u64::from(RATE * SECONDS) * 9 / 10);
    say("resident memory of the cache, MiB", mib(cache.memory()));

    drop(cache);
    until(|| agents.iter().all(|agent| !agent.is_well()));
    api.cluster().touch(MISSED);
    api.cluster().put(mark()).unwrap();
    let cache = Cache::start(vor, access.path(), ports);
    let begun = Instant::now();
    until(|| agents.iter().all(|agent| agent.is_well() && agent.knows_mark()));
    let again = cache.told();
    say(
        "restart: all 100 follow again after",
        format_args!("{:.1} s", begun.elapsed().as_secs_f64()),
    );
    say("restart: objects told again", again.0);
    say("restart: MiB told again", mib(again.1));
    say("restart: processor time of the cache", format_args!("{:.1} s", cache.cpu()));
    let lists = api.cluster().asked().into_iter().filter(|a| a.verb == "list").map(|a| a.times);
    say("pages listed at the API server, both starts", lists.sum::<u64>());
    say("told again, of everything", format_args!("{} ‰", again.0 * 1000 / everything.0.max(1)));
}

fn say(what: &str, how_much: impl Display) {
    println!("{what}\t{how_much}");
}

fn until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn mark() -> serde_json::Value {
    json!({
        "kind": "Pod",
        "metadata": {"namespace": "team-0", "name": "mark"},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"phase": "Running", "podIP": "10.250.0.1", "podIPs": [{"ip": "10.250.0.1"}]},
    })
}

struct Cache {
    child: Child,
    metrics: u16,
}

impl Cache {
    /// Starts it and waits until it answers.
    fn start(vor: &Path, access: &Path, [port, metrics]: [u16; 2]) -> Self {
        let child = Command::new(vor)
            .arg("kube-cache")
            .env("KUBECONFIG", access.join("kubeconfig"))
            .env("VOR_K8S_CACHE_PORT", port.to_string())
            .env("VOR_K8S_CACHE_INTERNAL_METRICS_PROMETHEUS_PORT", metrics.to_string())
            .env("VOR_LOG_LEVEL", "warn")
            .spawn()
            .unwrap();
        until(|| TcpStream::connect(("localhost", port)).is_ok());
        Self { child, metrics }
    }

    /// Objects and bytes told so far.
    fn told(&self) -> (u64, u64) {
        let mut page = String::new();
        let mut conn = TcpStream::connect(("localhost", self.metrics)).unwrap();
        conn.write_all(b"GET /internal/metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        conn.read_to_string(&mut page).unwrap();
        let value = |start: &str| -> u64 {
            let found = page.lines().find_map(|line| line.strip_prefix(start));
            found.map_or(0, |value| value.trim().parse().unwrap())
        };
        (
            value("vor_stage_out_total{stage=\"kube_cache\"}"),
            value("vor_stage_reading{stage=\"kube_cache\",what=\"bytes\"}"),
        )
    }

    /// Seconds of processor time.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = rest.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u32>().unwrap();
        f64::from(ticks(11) + ticks(12)) / TICKS
    }

    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Agent {
    board: Arc<Board>,
    store: Arc<Store>,
    _follow: Follow,
}

impl Agent {
    fn start(port: u16) -> Self {
        let mut config = KubernetesConfig::builder().load().unwrap();
        config.enable = Enable::True;
        config.meta_cache_address = Some(format!("localhost:{port}"));
        config.node_name = Some("node-1".to_owned());
        let board = Board::new();
        let follow = Follow::start(&config, Scope::ThisNode, &board).unwrap().unwrap();
        Self { board, store: follow.store(), _follow: follow }
    }

    fn is_synced(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.store.is_synced(*kind))
    }

    fn is_well(&self) -> bool {
        self.board.verdicts().iter().any(|(unit, is)| *unit == "kube" && *is == Verdict::Active)
    }

    fn knows_mark(&self) -> bool {
        self.store.at(IpAddr::from([10, 250, 0, 1])).is_some()
    }
}
