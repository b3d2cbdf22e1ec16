// SPDX-License-Identifier: Apache-2.0
//! Programs in control groups as containerd and CRI-O lay them out, and an API server that knows their pods: before
//! vor, after it, and gone in between.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vor_apiserver::{ApiServer, Options};

use crate::cgroup::Cgroup;
use crate::collector::Span;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene, only};
use crate::until::until;
use crate::vor::Settings;
use crate::web::Talk;

const POD_UID: &str = "3b7e4a9c-1c4f-4f6e-9a51-0e9c7a0d5b11";

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("kubernetes-attributes", attributes),
        Scenario::new("kubernetes-late", late),
        Scenario::new("kubernetes-selection", selection),
        Scenario::new("kubernetes-peers", peers),
    ]
}

/// A cluster, and a server in a container of it.
pub(super) struct Stage {
    pub(super) server: ApiServer,
    pub(super) port: u16,
    pub(super) actor: Actor,
    pub(super) container: String,
    _cgroup: Cgroup,
}

/// How a runtime calls the group of container `id`.
fn group(runtime: &str, id: &str) -> String {
    let (slice, uid) = ("vor-e2e-kubepods", POD_UID.replace('-', "_"));
    let pod = format!("{slice}.slice/{slice}-burstable.slice/{slice}-burstable-pod{uid}.slice");
    format!("{pod}/{runtime}-{id}.scope")
}

/// An id as engines give them to containers.
pub(super) fn random_id() -> String {
    format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..))
}

impl Stage {
    /// The event-loop server in a container of `runtime`; nobody knows its pod yet.
    pub(super) fn set(scene: &mut Scene<'_>, runtime: &str) -> Result<Self> {
        let options = Options { bookmarks: Duration::from_millis(200), ..Options::default() };
        let server = ApiServer::start(&options)?;
        server.write_access(scene.dir())?;
        let container = random_id();
        let cgroup = Cgroup::create(&group(runtime, &container))?;
        let port = ports::free()?;
        let mut command = scene.world.apps.program("epoll");
        command.arg(port.to_string());
        let actor = scene.serve(cgroup.command(&command)?, port)?;
        let node = json!({
            "kind": "Node",
            "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "eu-1a"}},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.168.77.1"}],
                       "nodeInfo": {"machineID": "machine-1"}},
        });
        server.cluster().put(node)?;
        Ok(Self { server, port, actor, container, _cgroup: cgroup })
    }

    fn pod(&self, labels: &Value, team: &str) -> Value {
        json!({
            "kind": "Pod",
            "metadata": {
                "name": "cart-6d5f-x7k2p", "namespace": "shop", "uid": POD_UID, "labels": labels,
                "annotations": {"resource.opentelemetry.io/team": team},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                                     "name": "cart-6d5f", "uid": "rs", "controller": true}],
            },
            "spec": {"nodeName": "node-1",
                     "containers": [{"name": "main", "image": "registry:5000/shop/cart:1.2"}]},
            "status": {
                "phase": "Running", "hostIP": "192.168.77.1", "podIP": "10.0.77.7",
                "startTime": "2026-11-25T01:02:03Z",
                "containerStatuses": [{
                    "name": "main", "containerID": format!("containerd://{}", self.container),
                }],
            },
        })
    }

    pub(super) fn tell_pod(&self) -> Result<()> {
        self.server.cluster().put(self.pod(&json!({"pod-template-hash": "6d5f"}), "blue"))?;
        Ok(())
    }

    fn tell_track(&self, track: &str) -> Result<()> {
        let labels = json!({"pod-template-hash": "6d5f", "track": track});
        self.server.cluster().put(self.pod(&labels, "blue"))?;
        Ok(())
    }

    fn ask(&self, times: usize) -> Result<()> {
        let mut talk = Talk::to(self.port)?;
        for n in 0..times {
            ensure!(talk.get(&format!("/item/{n}"))?.status == 200, "it is answered");
        }
        Ok(())
    }
}

/// A kubeconfig for the stage's server, and no waiting.
pub(super) fn settings(scene: &Scene<'_>) -> Settings {
    follow(Settings::default(), scene)
}

/// The same beside other settings.
pub(super) fn follow(settings: Settings, scene: &Scene<'_>) -> Settings {
    settings
        .with("BEYLA_KUBE_METADATA_ENABLE", "true")
        .with("KUBECONFIG", scene.dir().join("kubeconfig").display())
        .with("VOR_KUBE_NODE_NAME", "node-1")
        .with("VOR_KUBE_RECONNECT_INITIAL_INTERVAL", "100ms")
}

fn check(span: &Span, container: &str) -> Result<()> {
    let instance = "shop.cart-6d5f-x7k2p.main";
    let expected = BTreeMap::from([
        ("service.name", "cart"),
        ("service.namespace", "shop"),
        ("service.instance.id", instance),
        ("service.version", "1.2"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "cart-6d5f-x7k2p"),
        ("k8s.pod.uid", POD_UID),
        ("k8s.pod.start_time", "2026-11-25T01:02:03Z"),
        ("k8s.container.name", "main"),
        ("k8s.node.name", "node-1"),
        ("k8s.deployment.name", "cart"),
        ("k8s.replicaset.name", "cart-6d5f"),
        ("k8s.owner.name", "cart"),
        ("k8s.kind", "Deployment"),
        ("k8s.cluster.name", "test-cluster"),
        ("container.id", container),
        ("container.image.name", "registry:5000/shop/cart"),
        ("container.image.tags", "[\"1.2\"]"),
        ("host.id", "machine-1"),
        ("host.name", "node-1"),
        ("team", "blue"),
    ]);
    for (key, value) in expected {
        let found = span.resource.get(key).map(String::as_str);
        ensure!(found == Some(value), "{key} is {found:?}, expected {value}");
    }
    Ok(())
}

fn attributes(scene: &mut Scene<'_>) -> Result<Expected> {
    let stage = Stage::set(scene, "cri-containerd")?;
    stage.tell_pod()?;
    let settings = settings(scene)
        .with("BEYLA_OPEN_PORT", stage.port)
        .with("BEYLA_KUBE_CLUSTER_NAME", "test-cluster");
    scene.observe(&settings, &[stage.actor.pid])?;
    stage.ask(3)?;
    for span in scene.spans(3)? {
        check(&span, &stage.container)?;
    }
    let page = scene.page()?;
    for label in [
        "service_name=\"cart\"",
        "k8s_pod_name=\"cart-6d5f-x7k2p\"",
        "k8s_deployment_name=\"cart\"",
        "k8s_cluster_name=\"test-cluster\"",
    ] {
        let mut samples = page.lines().filter(|line| line.starts_with("http_server_request_"));
        ensure!(samples.any(|sample| sample.contains(label)), "Prometheus has no {label}");
    }
    Ok(Expected::server(3))
}

/// The server comes after vor, goes, and returns.
fn late(scene: &mut Scene<'_>) -> Result<Expected> {
    let stage = Stage::set(scene, "crio")?;
    let cluster = stage.server.cluster();
    cluster.set_present(false);
    let settings = settings(scene)
        .with("BEYLA_OPEN_PORT", stage.port)
        .with("BEYLA_KUBE_CLUSTER_NAME", "test-cluster")
        .with("VOR_SPANS_NAME_WAIT", "300ms");
    scene.observe(&settings, &[stage.actor.pid])?;
    stage.ask(1)?;
    let early = only(&scene.spans(1)?)?;
    ensure!(early.service() == "epoll", "{} before its pod is known", early.service());
    let id = early.resource.get("container.id").map(String::as_str);
    ensure!(id == Some(&*stage.container), "the container is {id:?}");

    stage.tell_pod()?;
    cluster.set_present(true);
    let mut asked = 1;
    renamed(scene, &stage, &mut asked)?;

    cluster.set_present(false);
    stage.ask(1)?;
    asked += 1;
    let away = scene.spans(asked)?.pop().context("a span")?;
    check(&away, &stage.container).context("while the server is away")?;
    cluster.put(stage.pod(&json!({"pod-template-hash": "6d5f"}), "red"))?;
    cluster.set_present(true);
    until("what changed meanwhile", scene.limit(), || {
        stage.ask(1)?;
        asked += 1;
        let span = scene.spans(asked)?.pop().context("a span")?;
        Ok(span.resource.get("team").is_some_and(|team| team == "red"))
    })?;
    Ok(Expected::server(asked))
}

/// Asks until the answer is told with all that the server knows: pods and nodes are listed one after the other.
fn renamed(scene: &Scene<'_>, stage: &Stage, asked: &mut usize) -> Result<()> {
    let mut told = Ok(());
    let known = until("what the server knows", scene.limit(), || {
        stage.ask(1)?;
        *asked += 1;
        told = check(&scene.spans(*asked)?.pop().context("a span")?, &stage.container);
        Ok(told.is_ok())
    });
    known.or(told)
}

/// A process is admitted when its pod is known, and let go when the pod is another.
fn selection(scene: &mut Scene<'_>) -> Result<Expected> {
    let stage = Stage::set(scene, "cri-containerd")?;
    let file = scene.dir().join("vor.yml");
    let services = "discovery:\n  services:\n    - k8s_namespace: ^shop$\n      k8s_pod_labels: { track: ^a }\n";
    fs::write(&file, services)?;
    let settings = settings(scene).with("BEYLA_CONFIG_PATH", file.display());
    scene.observe(&settings, &[])?;
    stage.tell_pod()?;
    std::thread::sleep(Duration::from_millis(600));
    stage.ask(2)?;
    stage.tell_track("alpha")?;
    let (limit, pid) = (scene.limit(), stage.actor.pid);
    scene.vor()?.observes(pid, limit)?;
    stage.ask(3)?;
    ensure!(scene.spans(3)?.iter().all(|span| span.service() == "cart"), "another name");
    stage.tell_track("beta")?;
    let vor = scene.vor()?;
    until("nobody is observed", limit, || {
        let page = vor.own_metrics()?;
        let is_it = |sample: &&crate::scrape::Sample| {
            sample.label("stage") == "discover" && sample.label("what") == "targets"
        };
        Ok(page.iter().filter(is_it).any(|sample| sample.value == 0.0))
    })?;
    stage.ask(2)?;
    Ok(Expected::server(3))
}

/// An address of this host while it lives.
struct Address(Ipv4Addr);

impl Address {
    fn add(ip: Ipv4Addr) -> Result<Self> {
        run(Command::new("ip").args(["addr", "add", &format!("{ip}/32"), "dev", "lo"]))?;
        Ok(Self(ip))
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let ip = format!("{}/32", self.0);
        let _ = run(Command::new("ip").args(["addr", "del", &ip, "dev", "lo"]));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context("running ip")?;
    ensure!(status.success(), "ip: {status}");
    Ok(())
}

/// Who asks is called by what has its address.
fn peers(scene: &mut Scene<'_>) -> Result<Expected> {
    let stage = Stage::set(scene, "cri-containerd")?;
    let address = Address::add(Ipv4Addr::new(10, 77, fastrand::u8(..), fastrand::u8(1..250)))?;
    let ip = address.0.to_string();
    stage.tell_pod()?;
    stage.server.cluster().put(json!({
        "kind": "Service", "metadata": {"name": "front", "namespace": "web"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip]},
    }))?;
    let settings = settings(scene).with("BEYLA_OPEN_PORT", stage.port);
    scene.observe(&settings, &[stage.actor.pid])?;
    let mut talk = Talk::at(&format!("{ip}:{}", stage.port))?;
    ensure!(talk.get("/item/1")?.status == 200, "it is answered");
    let span = only(&scene.spans(1)?)?;
    let attrs = ["client.address", "server.address", "network.peer.address"];
    let told = attrs.map(|key| span.attr(key).to_owned());
    ensure!(told == ["front.web", "front.web", &*ip], "{told:?}");
    Ok(Expected::server(1))
}
