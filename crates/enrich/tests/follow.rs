// SPDX-License-Identifier: Apache-2.0
//! A cluster is followed through everything that happens to its API server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests are tests too"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use confique::Config;
use serde_json::{Value, json};
use vor_apiserver::{Account, ApiServer, Fault, Options, Size, Wrong};
use vor_enrich::kube::{Enable, Follow, Informer, Kind, KubernetesConfig, Scope, Store};
use vor_health::{Board, Verdict};

/// More than the minute for which the client keeps what it has read of a file with a token.
const PATIENCE: Duration = Duration::from_secs(150);

struct Bench {
    server: ApiServer,
    folder: tempfile::TempDir,
    board: Arc<Board>,
}

impl Bench {
    fn new() -> Self {
        let options = Options { bookmarks: Duration::from_millis(100), ..Options::default() };
        let server = ApiServer::start(&options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        server.write_access(folder.path()).unwrap();
        Self { server, folder, board: Board::new() }
    }

    fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            enable: Enable::True,
            kubeconfig_path: Some(self.folder.path().join("kubeconfig")),
            node_name: Some("node-1".into()),
            reconnect_initial_interval: "50ms".parse().unwrap(),
            ..KubernetesConfig::builder().load().unwrap()
        }
    }

    fn follow(&self, config: &KubernetesConfig) -> (Follow, Arc<Store>) {
        let follow = Follow::start(config, Scope::ThisNode, &self.board).unwrap().unwrap();
        let store = follow.store();
        (follow, store)
    }

    fn put(&self, object: Value) {
        self.server.cluster().put(object).unwrap();
    }

    fn degraded(&self) -> Option<String> {
        self.board.verdicts().into_iter().find_map(|(unit, verdict)| match verdict {
            Verdict::Degraded(why) if unit == "kube" => Some(why),
            _ => None,
        })
    }

    fn active(&self) -> bool {
        self.board.verdicts().contains(&("kube", Verdict::Active))
    }
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pod(name: &str, node: &str, ip: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "cart:1"}]},
        "status": {"phase": "Running", "podIP": ip, "containerStatuses": [
            {"name": "main", "containerID": format!("cri-o://{name}")}]},
    })
}

fn name_at(store: &Store, ip: &str) -> Option<String> {
    store.at(ip.parse().unwrap()).map(|found| found.name.to_string())
}

#[test]
fn what_is_there_is_listed_and_changes_are_followed() {
    let bench = Bench::new();
    bench.put(pod("first", "node-1", "10.0.0.1"));
    let (_follow, store) = bench.follow(&bench.config());
    eventually("the first pod", || name_at(&store, "10.0.0.1").as_deref() == Some("first"));
    bench.put(pod("second", "node-2", "10.0.0.2"));
    eventually("the second pod", || name_at(&store, "10.0.0.2").as_deref() == Some("second"));
    assert!(store.of("first").is_some() && store.of("second").is_none());
    bench.put(pod("second", "node-2", "10.0.0.3"));
    eventually("its other address", || name_at(&store, "10.0.0.3").is_some());
    assert!(bench.server.cluster().delete("Pod", "shop", "first"));
    eventually("one pod", || store.len() == 1);
    eventually("all kinds", || Kind::ALL.iter().all(|kind| store.is_synced(*kind)));
    eventually("the verdict", || bench.active());
    let asked = bench.server.cluster().asked();
    let verbs: Vec<_> =
        asked.iter().map(|asked| format!("{:?}", asked.verb).to_lowercase()).collect();
    assert!(verbs.iter().all(|verb| verb.contains("list") || verb.contains("watch")), "{verbs:?}");
}

#[test]
fn a_server_that_goes_and_returns_is_followed_on_and_what_was_known_stays() {
    let bench = Bench::new();
    bench.put(pod("stays", "node-1", "10.0.0.1"));
    bench.put(pod("goes", "node-1", "10.0.0.2"));
    let (_follow, store) = bench.follow(&bench.config());
    eventually("both pods", || store.len() == 2);
    let cluster = bench.server.cluster();
    cluster.set_present(false);
    eventually("the verdict", || bench.degraded().is_some());
    assert_eq!(name_at(&store, "10.0.0.1").as_deref(), Some("stays"));
    assert!(cluster.delete("Pod", "shop", "goes"));
    bench.put(pod("new", "node-1", "10.0.0.3"));
    cluster.set_present(true);
    eventually("the new pod", || name_at(&store, "10.0.0.3").is_some());
    eventually("the verdict", || bench.active());
    eventually("two pods", || store.len() == 2);
}

#[test]
fn a_server_that_comes_after_vor_is_found() {
    let bench = Bench::new();
    bench.server.cluster().set_present(false);
    bench.put(pod("first", "node-1", "10.0.0.1"));
    let (_follow, store) = bench.follow(&bench.config());
    eventually("the verdict", || bench.degraded().is_some());
    assert!(store.is_empty());
    bench.server.cluster().set_present(true);
    eventually("the pod", || name_at(&store, "10.0.0.1").is_some());
}

#[test]
fn a_version_that_is_forgotten_means_to_list_anew() {
    let bench = Bench::new();
    bench.put(pod("a", "node-1", "10.0.0.1"));
    bench.put(pod("b", "node-1", "10.0.0.2"));
    let (_follow, store) = bench.follow(&bench.config());
    eventually("both pods", || store.len() == 2);
    let cluster = bench.server.cluster();
    cluster.set_present(false);
    assert!(cluster.delete("Pod", "shop", "a"));
    bench.put(pod("c", "node-1", "10.0.0.3"));
    cluster.compact();
    cluster.set_present(true);
    eventually("the new pod", || name_at(&store, "10.0.0.3").is_some());
    eventually("the old one gone", || store.len() == 2);
    eventually("the verdict", || bench.active());
}

#[test]
fn what_a_watch_does_not_tell_is_found_by_listing_anew() {
    let bench = Bench::new();
    let silent = Fault {
        verb: Some("watch".into()),
        resource: Some("pods".into()),
        times: None,
        what: Wrong::Stall { after: 0 },
    };
    bench.server.cluster().fault(silent);
    let config =
        KubernetesConfig { informers_resync_period: "200ms".parse().unwrap(), ..bench.config() };
    let (_follow, store) = bench.follow(&config);
    eventually("synced", || store.is_synced(Kind::Pod));
    bench.put(pod("first", "node-1", "10.0.0.1"));
    eventually("the pod", || name_at(&store, "10.0.0.1").is_some());
}

#[test]
fn faults_pass() {
    for what in [
        json!({"refuse": {"code": 429, "retry_after": 1}}),
        json!({"refuse": {"code": 500}}),
        json!("gone"),
        json!({"cut": {"after": 300}}),
        json!({"garbage": {"text": "{]"}}),
    ] {
        let bench = Bench::new();
        let fault = json!({"resource": "pods", "times": 2, "what": what});
        bench.server.cluster().fault(serde_json::from_value::<Fault>(fault.clone()).unwrap());
        bench.put(pod("a", "node-1", "10.0.0.1"));
        let (_follow, store) = bench.follow(&bench.config());
        eventually(&fault.to_string(), || name_at(&store, "10.0.0.1").is_some());
        bench.put(pod("b", "node-1", "10.0.0.2"));
        eventually(&fault.to_string(), || name_at(&store, "10.0.0.2").is_some());
    }
}

#[test]
fn who_may_not_watch_is_told_which_verbs_are_missing() {
    let bench = Bench::new();
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
    let account = json!({"token": "poor", "user": "system:serviceaccount:vor:vor", "rules": rules});
    bench.server.cluster().admit(serde_json::from_value::<Account>(account).unwrap());
    std::fs::write(bench.folder.path().join("token"), "poor").unwrap();
    bench.put(pod("a", "node-1", "10.0.0.1"));
    let (_follow, store) = bench.follow(&bench.config());
    eventually("pods all the same", || name_at(&store, "10.0.0.1").is_some());
    eventually("the verdict", || {
        bench.degraded().is_some_and(|why| why.contains("verbs list and watch"))
    });
}

#[test]
fn a_token_that_ends_is_told_and_the_one_that_replaces_it_is_found() {
    let bench = Bench::new();
    bench.put(pod("before", "node-1", "10.0.0.1"));
    // Short watches, as a real server ends them, so that the token is asked for again.
    let (cut, verb) = (Wrong::Cut { after: 600 }, Some("watch".to_owned()));
    bench.server.cluster().fault(Fault { verb, resource: None, times: None, what: cut });
    let (_follow, store) = bench.follow(&bench.config());
    eventually("the first pod", || name_at(&store, "10.0.0.1").is_some());
    bench.server.cluster().revoke(bench.server.token());
    eventually("the verdict", || bench.degraded().is_some_and(|why| why.contains("token")));
    assert!(name_at(&store, "10.0.0.1").is_some(), "what was known is kept");
    let next = json!({"token": "next", "user": "system:serviceaccount:vor:vor"});
    bench.server.cluster().admit(serde_json::from_value::<Account>(next).unwrap());
    std::fs::write(bench.folder.path().join("token"), "next").unwrap();
    bench.server.cluster().clear_faults();
    bench.put(pod("after", "node-1", "10.0.0.2"));
    eventually("the pod of the next token", || name_at(&store, "10.0.0.2").is_some());
    eventually("the verdict, again", || bench.active());
}

#[test]
fn kinds_can_be_left_out_and_pods_elsewhere_too() {
    let bench = Bench::new();
    bench.put(pod("here", "node-1", "10.0.0.1"));
    bench.put(pod("there", "node-2", "10.0.0.2"));
    let config = KubernetesConfig {
        disable_informers: vec![Informer::Node, Informer::Service, Informer::Job],
        meta_restrict_local_node: true,
        ..bench.config()
    };
    let (_follow, store) = bench.follow(&config);
    eventually("the pod here", || name_at(&store, "10.0.0.1").is_some());
    bench.put(pod("here-too", "node-1", "10.0.0.3"));
    eventually("the other pod here", || name_at(&store, "10.0.0.3").is_some());
    assert_eq!(name_at(&store, "10.0.0.2"), None);
    let asked = bench.server.cluster().asked();
    assert!(asked.iter().all(|asked| asked.resource == "pods"), "{asked:?}");
}

#[test]
fn the_node_is_found_by_its_name_or_by_the_pod_that_vor_is() {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let config = |bench: &Bench| KubernetesConfig {
        node_name: None,
        meta_restrict_local_node: true,
        ..bench.config()
    };
    let bench = Bench::new();
    bench.put(json!({"kind": "Node", "metadata": {"name": host}, "status": {}}));
    bench.put(pod("here", &host, "10.0.0.1"));
    bench.put(pod("there", "node-2", "10.0.0.2"));
    let (_follow, store) = bench.follow(&config(&bench));
    eventually("the pod here", || name_at(&store, "10.0.0.1").is_some());
    assert_eq!(name_at(&store, "10.0.0.2"), None);

    let bench = Bench::new();
    let mut own = pod(&host, "node-2", "10.0.0.9");
    own["metadata"]["namespace"] = json!("default");
    bench.put(own);
    bench.put(pod("here", "node-1", "10.0.0.1"));
    bench.put(pod("there", "node-2", "10.0.0.2"));
    let (_follow, store) = bench.follow(&config(&bench));
    eventually("the pod of vor's node", || name_at(&store, "10.0.0.2").is_some());
    assert_eq!(name_at(&store, "10.0.0.1"), None);
}

#[test]
fn a_large_cluster_is_there_in_full() {
    let bench = Bench::new();
    bench
        .server
        .cluster()
        .generate(Size { pods: 1_234, services: 321, ..Size::default() })
        .unwrap();
    let (_follow, store) = bench.follow(&bench.config());
    eventually("all kinds", || Kind::ALL.iter().all(|kind| store.is_synced(*kind)));
    let count = |what| bench.board.counter("kube", what).get();
    assert_eq!((count("pods"), count("services"), count("nodes")), (1_234, 321, 100));
    assert!(count("jobs") > 0);
    assert_eq!(count("in"), count("out"));
}

#[test]
fn a_way_that_does_not_exist_is_an_error_that_names_it() {
    let bench = Bench::new();
    let config =
        KubernetesConfig { kubeconfig_path: Some("/nowhere/kubeconfig".into()), ..bench.config() };
    let error = Follow::start(&config, Scope::ThisNode, &bench.board).unwrap_err().to_string();
    assert!(error.contains("/nowhere/kubeconfig"), "{error}");
    let off = KubernetesConfig { enable: Enable::False, ..config };
    assert!(Follow::start(&off, Scope::ThisNode, &bench.board).unwrap().is_none());
}
