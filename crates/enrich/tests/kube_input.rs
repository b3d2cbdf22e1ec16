// SPDX-License-Identifier: Apache-2.0
//! What an API server may say wrongly, and what vor asks of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests are tests too"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use confique::Config;
use jiff::SignedDuration;
use serde_json::{Value, json};
use vor_apiserver::{Account, ApiServer, Fault, Options, Size, Wrong};
use vor_enrich::kube::{Enable, Follow, Kind, KubernetesConfig, Object, Scope, Store};
use vor_health::{Board, Verdict};

const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The API server, and vor that follows it.
struct World {
    api: ApiServer,
    _access: tempfile::TempDir,
    config: KubernetesConfig,
}

struct Agent {
    board: Arc<Board>,
    store: Arc<Store>,
    _follow: Follow,
}

impl World {
    fn with_token(token: &str) -> Self {
        let api = ApiServer::start(&Options::default()).unwrap();
        let access = tempfile::tempdir().unwrap();
        api.write_access(access.path()).unwrap();
        std::fs::write(access.path().join("token"), token).unwrap();
        let mut config = KubernetesConfig::builder().load().unwrap();
        config.enable = Enable::True;
        config.kubeconfig_path = Some(access.path().join("kubeconfig"));
        config.reconnect_initial_interval = "50ms".parse().unwrap();
        Self { api, _access: access, config }
    }

    fn new() -> Self {
        Self::with_token("admin")
    }

    fn agent(&self) -> Agent {
        let board = Board::new();
        let follow = Follow::start(&self.config, Scope::ThisNode, &board).unwrap().unwrap();
        Agent { board, store: follow.store(), _follow: follow }
    }

    fn wrong(&self, resource: &str, verb: &str, times: Option<u32>, what: Wrong) {
        let (verb, resource) = (Some(verb.to_owned()), Some(resource.to_owned()));
        self.api.cluster().fault(Fault { verb, resource, times, what });
    }

    fn put(&self, object: Value) {
        self.api.cluster().put(object).unwrap();
    }
}

impl Agent {
    fn is_synced(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.store.is_synced(*kind))
    }

    fn trouble(&self) -> String {
        match self.board.verdicts().into_iter().find(|(unit, _)| *unit == "kube") {
            Some((_, Verdict::Degraded(why))) => why,
            _ => String::new(),
        }
    }

    fn knows(&self, pod: &str) -> bool {
        self.store.find(Kind::Pod, "shop", pod).is_some()
    }
}

fn pod(name: &str, more: &Value) -> Value {
    let mut pod = json!({
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "web:1"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
    });
    for (key, value) in more.as_object().unwrap() {
        pod["metadata"][key] = value.clone();
    }
    pod
}

/// The rules of the chart's role, as (group, resource, verb).
fn rules() -> BTreeSet<(String, String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/helm/vor/templates/rbac.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, text) = text.split_once("\nrules:\n").unwrap();
    let (text, _) = text.split_once("\n---\n").unwrap();
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    let list = |line: &str| -> Vec<String> {
        let (_, list) = line.split_once(": [").unwrap();
        let items = list.trim_end_matches(']').split(", ");
        items.map(|item| item.trim_matches('"').to_owned()).collect()
    };
    let keys: Vec<_> = lines.filter(|line| !line.starts_with('#')).collect();
    let mut rules = BTreeSet::new();
    for rule in keys.chunks(3) {
        let [groups, resources, verbs] = rule else { panic!("a rule has three lines: {rule:?}") };
        for group in list(groups) {
            for resource in list(resources) {
                for verb in list(verbs) {
                    rules.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rules
}

#[test]
fn the_rules_of_the_chart_are_what_is_asked_no_less_and_no_more() {
    let world = World::with_token("agent");
    let allowed = rules();
    let rule = |(group, resource, verb): &(String, String, String)| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
    let account: Account = serde_json::from_value(json!({
        "token": "agent", "user": "agent", "rules": allowed.iter().map(rule).collect::<Vec<_>>(),
    }))
    .unwrap();
    world.api.cluster().admit(account);
    world.api.cluster().generate(Size { pods: 20, services: 5, nodes: 2, namespaces: 2 }).unwrap();
    let agent = world.agent();
    until("synced", || agent.is_synced());
    until("all watched", || world.api.cluster().watches() == Kind::ALL.len());
    let asked = world.api.cluster().asked().into_iter().filter(|asked| asked.user == "agent");
    let asked: BTreeSet<_> = asked.map(|a| (a.group, a.resource, a.verb)).collect();
    assert_eq!(asked, allowed);
    assert_eq!(agent.trouble(), "");
}

#[test]
fn a_role_that_lacks_a_rule_is_said_and_the_rest_works() {
    let world = World::with_token("agent");
    let rule = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]});
    let account =
        json!({"token": "agent", "user": "agent", "rules": [rule("", &["pods", "services"])]});
    world.api.cluster().admit(serde_json::from_value(account).unwrap());
    world.put(pod("web", &json!({})));
    let agent = world.agent();
    until("it is said", || agent.trouble().contains("list and watch"));
    until("pods are known", || agent.knows("web"));
}

#[test]
fn garbage_is_said_and_harms_nothing() {
    let world = World::new();
    world.put(pod("web", &json!({})));
    let deep = "[".repeat(100_000);
    for garbage in [
        "",
        "\0\0\0\0",
        "<html><body>502 Bad Gateway</body></html>",
        "{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"name\"",
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":5}",
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":7,\"items\":[{}]}",
        "[null, true, 1e999]",
        &deep,
    ] {
        let text = garbage.to_owned();
        world.wrong("pods", "list", None, Wrong::Garbage { text });
        let agent = world.agent();
        until("it is said", || !agent.trouble().is_empty());
        world.api.cluster().clear_faults();
        until("pods are known after all", || agent.knows("web"));
        until("all is well", || agent.trouble().is_empty());
    }
}

#[test]
fn an_object_that_cannot_be_read_is_counted_and_the_rest_of_its_list_is_kept() {
    let mut world = World::new();
    // Else pods are listed to find the node, too.
    world.config.node_name = Some("n1".into());
    let list = json!({
        "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "items": [
            {"metadata": {"name": 5, "uid": "odd"}},
            pod("web", &json!({"uid": "u1"})),
            null,
            {"metadata": {"name": "text", "uid": "u2"}, "status": {"podIPs": "10.0.0.1"}},
            {"metadata": {"name": "nobody"}},
            pod("cart", &json!({"uid": "u3"})),
        ],
    });
    world.wrong("pods", "list", Some(1), Wrong::Garbage { text: list.to_string() });
    // What the list does not have is not told later either.
    world.wrong("pods", "watch", None, Wrong::Stall { after: 0 });
    let agent = world.agent();
    until("the list was read", || agent.store.is_synced(Kind::Pod));
    assert!(agent.knows("web") && agent.knows("cart"));
    assert_eq!(agent.store.all(Kind::Pod).len(), 2);
    assert_eq!(agent.board.counter("kube", "lost.unreadable").get(), 4);
}

#[test]
fn garbage_in_a_watch_is_passed_over() {
    let world = World::new();
    world.put(pod("web", &json!({})));
    for garbage in [
        "not json\n",
        "{\"type\":\"ADDED\",\"object\":{}}\n",
        "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":5}}}\n",
        "{\"type\":\"WHATEVER\",\"object\":null}\n",
        "{\"type\":\"ERROR\",\"object\":{\"code\":\"no number\"}}\n",
        "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"\"}}}\n",
    ] {
        let text = garbage.to_owned();
        world.wrong("pods", "watch", Some(3), Wrong::Garbage { text });
        let agent = world.agent();
        until("synced", || agent.is_synced());
        let name = format!("late-{}", garbage.len());
        world.put(pod(&name, &json!({})));
        until("a later pod is known", || agent.knows(&name));
        world.api.cluster().clear_faults();
    }
}

#[test]
fn an_answer_that_never_ends_is_ended() {
    let world = World::new();
    world.put(pod("web", &json!({})));
    world.wrong("pods", "list", Some(1), Wrong::Endless { bytes: 1 << 40 });
    world.wrong("pods", "watch", Some(1), Wrong::Endless { bytes: 1 << 40 });
    let agent = world.agent();
    until("pods are known after all", || agent.knows("web"));
    world.put(pod("late", &json!({})));
    until("so are later ones", || agent.knows("late"));
}

#[test]
fn of_an_object_of_a_mebibyte_little_is_kept() {
    let world = World::new();
    let long = "x".repeat(1 << 20);
    world.put(pod("noted", &json!({"annotations": {"note": long, "short": "yes"}})));
    let many: serde_json::Map<_, _> =
        (0..20_000).map(|n| (format!("label-{n:05}"), json!("value-of-a-label"))).collect();
    world.put(pod("labelled", &json!({"labels": many})));
    world.put(pod("named", &json!({"ownerReferences": [
        {"apiVersion": "v1", "kind": "x".repeat(1 << 20), "name": "x".repeat(1 << 20), "uid": "u", "controller": true},
    ]})));
    let agent = world.agent();
    until("synced", || agent.is_synced());
    let kept = |name: &str| {
        let object = agent.store.find(Kind::Pod, "shop", name);
        object.map(|object| format!("{object:?}").len())
    };
    for name in ["noted", "labelled", "named"] {
        assert!(kept(name).is_none_or(|bytes| bytes < 32 << 10), "{name}: {:?} bytes", kept(name));
    }
    assert!(kept("noted").is_some());
}

#[test]
fn every_legal_character_of_a_label_is_kept() {
    let world = World::new();
    let alphabet: String = ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .chain("-_.".chars())
        .chain("z".chars())
        .collect();
    let value: String = alphabet.chars().take(62).chain("z".chars()).collect();
    let rest = "a-_.z";
    let key = format!("{}.example.com/A{rest}0", "a".repeat(50));
    world.put(pod("web", &json!({"labels": {&key: value, rest: rest, "empty": ""}})));
    let agent = world.agent();
    until("known", || agent.knows("web"));
    let object = agent.store.find(Kind::Pod, "shop", "web").unwrap();
    let Object::Pod(found) = &*object else { panic!("a pod") };
    let label = |key: &str| found.meta.labels.get(key).map(ToString::to_string);
    assert_eq!(label(&key), Some(value));
    assert_eq!(label(rest).as_deref(), Some(rest));
    assert_eq!(label("empty").as_deref(), Some(""));
}

#[test]
fn a_server_whose_clock_is_wrong_is_followed_like_any_other() {
    let world = World::new();
    for (name, years) in [("past", -30), ("future", 30)] {
        world.api.cluster().set_skew(SignedDuration::from_hours(24 * 365 * years));
        let agent = world.agent();
        world.put(pod(name, &json!({})));
        until("known", || agent.knows(name));
        assert!(world.api.cluster().delete("Pod", "shop", name));
        until("gone", || !agent.knows(name));
        assert_eq!(agent.trouble(), "");
    }
}
