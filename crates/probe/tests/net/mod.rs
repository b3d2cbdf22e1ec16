// SPDX-License-Identifier: Apache-2.0
//! Network namespaces of a test's own, real traffic in them, and a flow tracer that watches them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "each test file uses its part, and may fail"
)]

pub(crate) mod others;
pub(crate) mod pcap;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::mpsc::Sender;
use vor_health::Board;
use vor_model::{DnsLookup, Flow, Passage};
use vor_probe::flows::{
    Backend, Direction, FlowConfig, FlowOutlets, Flows, GuessPorts, Interfaces, Listen, MaxFlows,
    Source, Tunnels,
};

/// Batches that may wait for the collecting thread.
const BATCHES: usize = 4096;

/// The settings as they are by default, for `source`.
pub(crate) fn config(source: Source) -> FlowConfig {
    FlowConfig {
        source,
        interfaces: Interfaces::default(),
        exclude_interfaces: serde_json::from_str(r#""lo""#).unwrap(),
        direction: Direction::Both,
        sampling: 0,
        max_flows: MaxFlows::try_from(5000).unwrap(),
        period: Duration::from_millis(200),
        guess_ports: GuessPorts::Disable,
        tunnels: Tunnels::Outer,
        listen: Listen::Watch,
        poll_period: Duration::from_secs(10),
        all_namespaces: false,
        backend: Backend::Auto,
        dns: false,
    }
}

/// A namespace that ends with its owner.
pub(crate) struct Space(pub(crate) String);

static SPACES: AtomicU32 = AtomicU32::new(0);

impl Space {
    pub(crate) fn new() -> Self {
        let n = SPACES.fetch_add(1, Ordering::Relaxed);
        let name = format!("vf{}-{n}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let space = Self(name);
        space.ip("link set lo up");
        // Nothing on the wire that the test did not send.
        for key in ["all", "default"] {
            space.run(&["sysctl", "-qw", &format!("net.ipv6.conf.{key}.accept_dad=0")]);
            space.run(&["sysctl", "-qw", &format!("net.ipv6.conf.{key}.router_solicitations=0")]);
        }
        space
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    pub(crate) fn ip(&self, arguments: &str) {
        let mut words = vec!["ip", "-n", &self.0];
        words.extend(arguments.split(' '));
        run(&words);
    }

    pub(crate) fn run(&self, words: &[&str]) {
        run(&[&["ip", "netns", "exec", &self.0], words].concat());
    }

    /// Starts a program in it.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Runs `ip` in it; false when this kernel does not have what it asks for.
    pub(crate) fn can(&self, arguments: &str) -> bool {
        let output =
            Command::new("ip").args(["-n", &self.0]).args(arguments.split(' ')).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let lacks = said.contains("Unknown device type") || said.contains("not supported");
        assert!(output.status.success() || lacks, "{arguments}: {said}");
        output.status.success()
    }

    /// A file below `/proc/net`.
    pub(crate) fn proc_net(&self, name: &str) -> String {
        let path = format!("/proc/net/{name}");
        let output =
            Command::new("ip").args(["netns", "exec", &self.0, "cat", &path]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `traffic.py` in it.
    pub(crate) fn traffic(&self, arguments: &str) {
        let mut words = vec!["python3", TRAFFIC];
        words.extend(arguments.split(' '));
        self.run(&words);
    }

    /// Starts `traffic.py` in it.
    pub(crate) fn traffic_child(&self, arguments: &str) -> Serving {
        let mut words = vec!["python3", TRAFFIC];
        words.extend(arguments.split(' '));
        Serving(self.start(&words))
    }

    /// Starts `traffic.py` in it and waits until it says that it is ready.
    pub(crate) fn serve(&self, arguments: &str) -> Serving {
        self.serve_lines(arguments).serving
    }

    /// Starts `traffic.py` in it, to be told line by line.
    pub(crate) fn serve_lines(&self, arguments: &str) -> Lines {
        let mut lines = self.lines(arguments);
        lines.hear("ready");
        lines
    }

    /// Starts `traffic.py` in it, whatever it says first.
    pub(crate) fn lines(&self, arguments: &str) -> Lines {
        let mut serving = self.traffic_child(arguments);
        let said = BufReader::new(serving.0.stdout.take().unwrap());
        Lines { serving, said }
    }

    /// Whether it has an interface of this name.
    pub(crate) fn has(&self, iface: &str) -> bool {
        let show = Command::new("ip").args(["-n", &self.0, "link", "show", iface]).output();
        show.unwrap().status.success()
    }

    /// One of the counters of an interface.
    pub(crate) fn counter(&self, iface: &str, name: &str) -> u64 {
        self.fact(iface, &format!("statistics/{name}")).parse().unwrap()
    }

    /// Whether an interface sends: for a moment after it was set up it drops everything.
    pub(crate) fn sends(&self, iface: &str) -> bool {
        self.fact(iface, "operstate") == "up"
    }

    fn fact(&self, iface: &str, name: &str) -> String {
        let path = format!("/sys/class/net/{iface}/{name}");
        let output =
            Command::new("ip").args(["netns", "exec", &self.0, "cat", &path]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs `act` on a thread in the namespace.
    pub(crate) fn within<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let path = self.path();
        let work = move || {
            let file = File::open(path).unwrap();
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), network).unwrap();
            act()
        };
        thread::spawn(work).join().unwrap()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

const TRAFFIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/net/traffic.py");

/// A program that is ended with its owner.
pub(crate) struct Serving(pub(crate) Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that is told lines.
pub(crate) struct Lines {
    serving: Serving,
    said: BufReader<ChildStdout>,
}

impl Lines {
    pub(crate) fn say(&mut self, line: &str) {
        self.tell(line);
        self.hear("sent");
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.serving.0.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn hear(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&mut self) -> bool {
        self.serving.0.try_wait().unwrap().is_some()
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

pub(crate) fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {said}");
}

/// Joins two namespaces by a veth pair: `10.9.0.1` and `fd09::1` at `a`, `10.9.0.2` and `fd09::2` at `b`.
pub(crate) fn join(a: &Space, b: &Space) {
    a.ip(&format!("link add va type veth peer name vb netns {}", b.0));
    for (space, iface, n) in [(a, "va", 1), (b, "vb", 2)] {
        space.ip(&format!("addr add 10.9.0.{n}/24 dev {iface}"));
        space.ip(&format!("addr add fd09::{n}/64 dev {iface} nodad"));
        space.ip(&format!("link set {iface} up"));
    }
    // The kernel announces new addresses of IPv6 twice, up to a second apart (RFC 3810, 9.11).
    thread::sleep(Duration::from_millis(2200));
}

/// Joins two namespaces by a bridge in a third, with the addresses of [`join`]: `va`—`pa`, `br0`, `pb`—`vb`.
pub(crate) fn join_by_bridge(a: &Space, bridge: &Space, b: &Space) {
    bridge.ip("link add br0 type bridge");
    bridge.ip("link set br0 up");
    for (space, near, far, n) in [(a, "va", "pa", 1), (b, "vb", "pb", 2)] {
        space.ip(&format!("link add {near} type veth peer name {far} netns {}", bridge.0));
        bridge.ip(&format!("link set {far} master br0 up"));
        space.ip(&format!("addr add 10.9.0.{n}/24 dev {near}"));
        space.ip(&format!("addr add fd09::{n}/64 dev {near} nodad"));
        space.ip(&format!("link set {near} up"));
    }
    thread::sleep(Duration::from_millis(2200));
}

/// Whether buffers of many segments pass an interface.
pub(crate) fn offload(space: &Space, iface: &str, on: bool) {
    let word = if on { "on" } else { "off" };
    space.run(&["ethtool", "-K", iface, "tso", word, "gso", word, "gro", word]);
}

/// A flow tracer and all it has told.
pub(crate) struct Tracing {
    flows: Flows,
    pub(crate) board: Arc<Board>,
    told: Collected<Flow>,
    answers: Collected<DnsLookup>,
}

impl Tracing {
    /// Watches a namespace.
    pub(crate) fn start(space: &Space, config: FlowConfig) -> Self {
        let board = Board::new();
        let (flows, told) = Collected::start();
        let (dns, answers) = Collected::start();
        let outlets = FlowOutlets { flows, dns };
        let health = Arc::clone(&board);
        let flows = space.within(move || Flows::start(&config, health, outlets).unwrap());
        Self { flows, board, told, answers }
    }

    pub(crate) fn count(&self, what: &'static str) -> u64 {
        self.board.counter("flow", what).get()
    }

    /// Waits until what has been told so far is as it must be.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&[Flow]) -> bool) {
        eventually(what, || holds(&self.told.so_far()));
    }

    /// All flows, when the tracer has stopped.
    pub(crate) fn stop(self) -> (Vec<Flow>, Arc<Board>) {
        let (flows, _, board) = self.stop_all();
        (flows, board)
    }

    pub(crate) fn stop_all(self) -> (Vec<Flow>, Vec<DnsLookup>, Arc<Board>) {
        self.flows.stop();
        let flows = self.told.all();
        let count = |what| self.board.counter("flow", what).get();
        let lost = count("lost.full") + count("lost.no_room") + count("lost.decode");
        assert_eq!(count("in"), count("out") + lost, "the law of counting");
        (flows, self.answers.all(), self.board)
    }
}

/// What has come out of a channel.
struct Collected<T> {
    so_far: Arc<Mutex<Vec<T>>>,
    thread: JoinHandle<()>,
}

impl<T: Send + Clone + 'static> Collected<T> {
    fn start() -> (Sender<Vec<T>>, Self) {
        let (sender, mut batches) = tokio::sync::mpsc::channel(BATCHES);
        let so_far = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&so_far);
        let thread = thread::spawn(move || {
            while let Some(batch) = batches.blocking_recv() {
                all.lock().unwrap().extend(batch);
            }
        });
        (sender, Self { so_far, thread })
    }

    fn so_far(&self) -> Vec<T> {
        self.so_far.lock().unwrap().clone()
    }

    /// When no more can come.
    fn all(self) -> Vec<T> {
        self.thread.join().unwrap();
        std::mem::take(&mut self.so_far.lock().unwrap())
    }
}

/// Packets and bytes by what both vor and tcpdump see of a flow: protocol, source, destination.
pub(crate) type Sums = BTreeMap<(u8, String, String), (u64, u64)>;

pub(crate) fn sums<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Sums {
    let mut sums = Sums::new();
    for flow in flows {
        let end = |end: vor_model::FlowEnd| format!("{}:{}", end.ip, end.port);
        let key = (flow.key.protocol, end(flow.key.src), end(flow.key.dst));
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + flow.packets, sum.1 + flow.bytes);
    }
    sums
}

/// All packets and bytes.
pub(crate) fn total(sums: &Sums) -> (u64, u64) {
    sums.values().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// Asserts that the packets of each flow have passed the way that its source says.
pub(crate) fn passages(flows: &[Flow], local: &[&str]) {
    for flow in flows {
        let src = flow.key.src.ip.to_string();
        // The kernel's own messages of IPv6 have addresses that it makes.
        if src.starts_with("fe80") || src == "::" {
            continue;
        }
        let ours = local.contains(&src.as_str());
        let expected = if ours { Passage::Egress } else { Passage::Ingress };
        assert_eq!(flow.key.passage, expected, "{flow:?}");
    }
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
