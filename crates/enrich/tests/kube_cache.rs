// SPDX-License-Identifier: Apache-2.0
//! The shared cache between the API server for tests and agents, all real: HTTPS on one side, gRPC on the other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests are tests too"
)]

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use confique::Config;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use vor_apiserver::{ApiServer, Options, Size};
use vor_enrich::kube::cache::{KubeCacheConfig, ServeError, serve};
use vor_enrich::kube::{Enable, Follow, Kind, KubernetesConfig, Scope, Store};
use vor_health::{Board, Verdict};

const PATIENCE: Duration = Duration::from_secs(20);

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

fn value(board: &Board, stage: &str, what: &str) -> u64 {
    let readings = board.readings();
    readings.iter().find(|r| (r.stage, r.what) == (stage, what)).map_or(0, |r| r.value)
}

fn pod(name: &str, node: &str, ip: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "web:1"}]},
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.168.0.1",
            "containerStatuses": [
                {"name": "c", "containerID": format!("containerd://{name}"), "image": "web:1"},
            ],
        },
    })
}

/// The API server, and how to reach it.
struct World {
    api: ApiServer,
    access: tempfile::TempDir,
    port: u16,
}

impl World {
    fn new() -> Self {
        let api = ApiServer::start(&Options::default()).unwrap();
        let access = tempfile::tempdir().unwrap();
        api.write_access(access.path()).unwrap();
        let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        Self { api, access, port }
    }

    fn kubernetes(&self) -> KubernetesConfig {
        let mut config = KubernetesConfig::builder().load().unwrap();
        config.enable = Enable::True;
        config.kubeconfig_path = Some(self.access.path().join("kubeconfig"));
        config.reconnect_initial_interval = "50ms".parse().unwrap();
        config
    }

    fn cache(&self) -> Cache {
        self.cache_with(|_| {})
    }

    fn cache_with(&self, change: impl Fn(&mut KubeCacheConfig)) -> Cache {
        let mut config = KubeCacheConfig::builder().load().unwrap();
        config.port = self.port;
        change(&mut config);
        let board = Board::new();
        let follow = Follow::start(&self.kubernetes(), Scope::Cluster, &board).unwrap().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&board);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let stop = async {
                let _ = stopped.await;
            };
            let (store, kinds) = (follow.store(), Kind::ALL.to_vec());
            runtime.unwrap().block_on(serve(&config, store, kinds, &served, stop))
        });
        Cache { board, stop: Some(stop), thread: Some(thread) }
    }

    fn agent(&self, change: impl Fn(&mut KubernetesConfig)) -> Agent {
        let mut config = self.kubernetes();
        config.kubeconfig_path = None;
        config.meta_cache_address = Some(format!("localhost:{}", self.port));
        change(&mut config);
        let board = Board::new();
        let follow = Follow::start(&config, Scope::ThisNode, &board).unwrap().unwrap();
        Agent { board, follow }
    }
}

/// `vor kube-cache` in this process, until it is dropped.
struct Cache {
    board: Arc<Board>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Cache {
    /// How it ended by itself.
    fn end(mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }

    fn told(&self) -> u64 {
        value(&self.board, "kube_cache", "out")
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Ok(ended)) = self.thread.take().map(JoinHandle::join) {
            ended.unwrap();
        }
    }
}

struct Agent {
    board: Arc<Board>,
    follow: Follow,
}

impl Agent {
    fn store(&self) -> Arc<Store> {
        self.follow.store()
    }

    fn name_of(&self, ip: &str) -> Option<String> {
        let ip: IpAddr = ip.parse().unwrap();
        self.store().at(ip).map(|workload| workload.name.to_string())
    }

    fn is_synced(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.store().is_synced(*kind))
    }

    fn trouble(&self) -> String {
        match self.board.verdicts().into_iter().find(|(unit, _)| *unit == "kube") {
            Some((_, Verdict::Degraded(why))) => why,
            _ => String::new(),
        }
    }
}

#[test]
fn agents_know_what_the_api_server_has_and_what_changes() {
    let world = World::new();
    let api = world.api.cluster();
    api.put(pod("web", "n1", "10.0.0.1")).unwrap();
    let _cache = world.cache();
    let agents: Vec<_> = (0..3).map(|_| world.agent(|_| {})).collect();
    let all = |test: &dyn Fn(&Agent) -> bool| agents.iter().all(test);
    until("all synced", || all(&Agent::is_synced));
    assert!(all(&|agent| agent.name_of("10.0.0.1").as_deref() == Some("web")));
    api.put(pod("late", "n2", "10.0.0.2")).unwrap();
    until("late pod", || all(&|agent| agent.name_of("10.0.0.2").as_deref() == Some("late")));
    api.delete("Pod", "shop", "late");
    until("gone pod", || all(&|agent| agent.store().find(Kind::Pod, "shop", "late").is_none()));
    let asked = api.asked();
    assert!(asked.iter().all(|asked| asked.times <= 3), "one watcher only: {asked:?}");
}

#[test]
fn agents_are_told_in_full_of_their_own_node_only() {
    let world = World::new();
    world.api.cluster().put(pod("mine", "n1", "10.0.0.1")).unwrap();
    world.api.cluster().put(pod("theirs", "n2", "10.0.0.2")).unwrap();
    let _cache = world.cache();
    let agent = world.agent(|config| config.node_name = Some("n1".to_owned()));
    until("synced", || agent.is_synced());
    assert!(agent.store().of("mine").is_some());
    assert!(agent.store().of("theirs").is_none());
    assert_eq!(agent.name_of("10.0.0.2").as_deref(), Some("theirs"));
}

#[test]
fn a_cache_that_is_started_again_tells_only_what_changed() {
    const AGENTS: usize = 20;
    let world = World::new();
    let api = world.api.cluster();
    api.generate(Size { pods: 1_000, services: 200, nodes: 10, namespaces: 5 }).unwrap();
    let cache = world.cache();
    let agents: Vec<_> = (0..AGENTS).map(|_| world.agent(|_| {})).collect();
    until("all synced", || agents.iter().all(Agent::is_synced));
    let everything = cache.told();
    drop(cache);
    until("the loss is noticed", || agents.iter().all(|agent| !agent.trouble().is_empty()));
    api.put(pod("new", "node-1", "10.99.0.1")).unwrap();
    assert!(api.delete("Service", "team-0", "service-0"));
    let cache = world.cache();
    until("all know", || {
        agents.iter().all(|agent| {
            agent.name_of("10.99.0.1").as_deref() == Some("new")
                && agent.store().find(Kind::Service, "team-0", "service-0").is_none()
        })
    });
    until("all told", || cache.told() >= u64::try_from(AGENTS).unwrap());
    let again = cache.told();
    assert!(again * 50 < everything, "{again} of {everything} were told again");
}

#[test]
fn what_is_known_stays_while_the_api_server_is_away_and_the_cache_is_restarted() {
    let world = World::new();
    world.api.cluster().put(pod("web", "n1", "10.0.0.1")).unwrap();
    let cache = world.cache();
    let agent = world.agent(|_| {});
    until("synced", || agent.is_synced());
    drop(cache);
    world.api.cluster().set_present(false);
    let cache = world.cache();
    until("the agent says so", || agent.trouble().contains("stay as they were"));
    thread::sleep(Duration::from_millis(300));
    assert_eq!(agent.name_of("10.0.0.1").as_deref(), Some("web"));
    assert_eq!(value(&cache.board, "kube_cache", "clients"), 0);
    world.api.cluster().set_present(true);
    world.api.cluster().put(pod("late", "n2", "10.0.0.2")).unwrap();
    until("all is well", || agent.name_of("10.0.0.2").is_some() && agent.trouble().is_empty());
}

#[test]
fn the_agent_beyond_the_limit_is_refused_and_says_why() {
    let world = World::new();
    let cache = world.cache_with(|config| config.max_connections = 1);
    let first = world.agent(|_| {});
    until("synced", || first.is_synced());
    let second = world.agent(|_| {});
    until("refused", || second.trouble().contains("max_connections"));
    assert!(value(&cache.board, "kube_cache", "clients_refused") > 0);
    drop(first);
    until("let in", || second.is_synced());
}

#[test]
fn tls_is_spoken_with_those_who_trust_the_certificate() {
    let world = World::new();
    world.api.cluster().put(pod("web", "n1", "10.0.0.1")).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| -> PathBuf {
        let path = world.access.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = file("cache.crt", made.cert.pem());
    let key = file("cache.key", made.signing_key.serialize_pem());
    let _cache = world.cache_with(|config| {
        config.certificate = Some(certificate.clone());
        config.key = Some(key.clone());
    });
    let address = Some(format!("https://localhost:{}", world.port));
    let trusting = world.agent(|config| {
        config.meta_cache_address.clone_from(&address);
        config.meta_cache_certificate = Some(certificate.clone());
    });
    until("synced", || trusting.is_synced());
    let wary = world.agent(|config| config.meta_cache_address.clone_from(&address));
    until("the certificate is refused", || wary.trouble().contains("ertificate"));
}

#[test]
fn something_else_at_the_address_is_said_and_harms_nothing() {
    let world = World::new();
    let http = world.api.url().trim_start_matches("http://").to_owned();
    let agent = world.agent(|config| config.meta_cache_address = Some(http.clone()));
    until("it is said", || agent.trouble().contains("cannot be followed"));
    assert!(agent.store().is_empty());
}

#[test]
fn a_port_that_is_taken_and_half_of_an_identity_are_errors_at_the_start() {
    let world = World::new();
    let taken = TcpListener::bind(("::", world.port)).unwrap();
    let ended = world.cache().end();
    assert!(ended.unwrap_err().to_string().contains("cannot listen on port"));
    drop(taken);
    let ended = world.cache_with(|config| config.key = Some("key.pem".into())).end();
    assert!(ended.unwrap_err().to_string().contains("belong together"));
}
