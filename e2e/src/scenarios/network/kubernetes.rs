// SPDX-License-Identifier: Apache-2.0
//! Flows between pods: who they are, where they run, and what the cluster does not know.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{BYTES, SIZE, deduplicated, printed, send, sent, settings, sums, talk, whole};
use crate::flows::{FlowLine, Host, Wire};
use crate::scenario::{Expected, Scenario};
use crate::scenarios::kubernetes::{Stage, follow};
use crate::scene::Scene;
use crate::scrape;
use crate::until::until;
use crate::vor::Settings;

const BETWEEN_ZONES: &str = "beyla_network_inter_zone_bytes_total";

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("flows-kubernetes", pods).needs(&["ip", "python3"]),
        Scenario::new("flows-drop-external", drop_external).needs(&["ip", "python3"]),
    ]
}

/// A pod of a stateful set on `node`, at an address.
fn tell_pod(stage: &Stage, name: &str, node: (&str, &str), ip: &str) -> Result<()> {
    stage.server.cluster().put(json!({
        "kind": "Pod",
        "metadata": {
            "name": format!("{name}-0"), "namespace": "shop", "uid": format!("uid-{name}"),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name,
                                 "uid": format!("set-{name}"), "controller": true}],
        },
        "spec": {"nodeName": node.0, "containers": [{"name": "main", "image": "any"}]},
        "status": {"phase": "Running", "hostIP": node.1, "podIP": ip, "podIPs": [{"ip": ip}]},
    }))?;
    Ok(())
}

/// A pod at each end of `wire`, in two zones, and one in the network of this host. vor follows their cluster.
fn observe(scene: &mut Scene<'_>, wire: &Wire, more: &[(&str, &str)]) -> Result<Stage> {
    let stage = Stage::set(scene, "cri-containerd")?;
    stage.server.cluster().put(json!({
        "kind": "Node",
        "metadata": {"name": "node-2", "labels": {"topology.kubernetes.io/zone": "eu-1b"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.77.2"}]},
    }))?;
    tell_pod(&stage, "web", ("node-1", "192.168.77.1"), &wire.address(Host::One))?;
    tell_pod(&stage, "db", ("node-2", "192.168.77.2"), &wire.address(Host::Two))?;
    stage.tell_pod()?;
    talk(scene, wire)?;
    let features = "application,network,network_inter_zone";
    let mut settings = follow(settings(wire), scene)
        .with("BEYLA_OPEN_PORT", stage.port)
        .with("BEYLA_TRACE_PRINTER", "text")
        .with("BEYLA_KUBE_CLUSTER_NAME", "test-cluster")
        .with("BEYLA_PROMETHEUS_FEATURES", features)
        .with("BEYLA_OTEL_METRICS_FEATURES", features);
    for (name, value) in more {
        settings = Settings::with(settings, name, value);
    }
    scene.observe(&settings, &[stage.actor.pid])?;
    // Flows that come before the cluster is known have no names.
    until("a flow whose both ends are known", scene.limit(), || {
        send(scene, wire)?;
        let known = |line: &FlowLine| {
            line.get("k8s.src.name") == "web-0" && line.get("k8s.dst.name") == "db-0"
        };
        Ok(printed(scene)?.iter().any(known))
    })?;
    Ok(stage)
}

/// A request from `Host::One` to the server on this host.
fn ask(wire: &Wire, port: u16) -> Result<()> {
    let url = format!("http://{}:{port}/item", wire.bridge_address());
    let get = format!("import urllib.request; urllib.request.urlopen('{url}', timeout=5).read()");
    let said = wire.on(Host::One, "python3").args(["-c", &get]).output()?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

fn pods(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let stage = observe(scene, &wire, &[])?;
    let lines = printed(scene)?;
    let there = lines.iter().find(|line| line.get("k8s.src.name") == "web-0");
    let there = there.context("no way there")?;
    for (name, expected) in [
        ("src.name", "web-0"),
        ("dst.name", "db-0"),
        ("k8s.src.namespace", "shop"),
        ("k8s.dst.namespace", "shop"),
        ("k8s.src.type", "Pod"),
        ("k8s.dst.type", "Pod"),
        ("k8s.src.owner.name", "web"),
        ("k8s.dst.owner.name", "db"),
        ("k8s.src.owner.type", "StatefulSet"),
        ("k8s.dst.owner.type", "StatefulSet"),
        ("k8s.src.node.name", "node-1"),
        ("k8s.dst.node.name", "node-2"),
        ("k8s.src.node.ip", "192.168.77.1"),
        ("k8s.dst.node.ip", "192.168.77.2"),
        ("k8s.cluster.name", "test-cluster"),
        ("src.zone", "eu-1a"),
        ("dst.zone", "eu-1b"),
    ] {
        ensure!(there.get(name) == expected, "{name} is not {expected}: {there:?}");
    }

    zones_are_counted(scene)?;
    let owners = scrape::parse(&scene.page()?)?;
    let of_owners = owners.iter().filter(|sample| {
        sample.name == BYTES
            && sample.label("k8s_src_owner_name") == "web"
            && sample.label("k8s_dst_owner_name") == "db"
    });
    ensure!(of_owners.count() > 0, "Prometheus knows no owners");

    local_end_is_known(scene, &wire, &stage)?;
    Ok(Expected { server: 1, ..deduplicated() })
}

/// What lines say of two zones is what is counted for them.
fn zones_are_counted(scene: &mut Scene<'_>) -> Result<()> {
    until("the same bytes between zones everywhere", scene.limit(), || {
        let lines = printed(scene)?;
        let crosses = |line: &&FlowLine| {
            let (src, dst) = (line.get("src.zone"), line.get("dst.zone"));
            !src.is_empty() && !dst.is_empty() && src != dst
        };
        let bytes = whole(sums(lines.iter().filter(crosses))?.1);
        let page = scrape::parse(&scene.page()?)?;
        let labelled = page.iter().filter(|sample| sample.name == BETWEEN_ZONES);
        let labelled = labelled.filter(|sample| {
            let zones = (sample.label("src_zone"), sample.label("dst_zone"));
            let both = [("eu-1a", "eu-1b"), ("eu-1b", "eu-1a")];
            both.contains(&zones) && sample.label("k8s_cluster_name") == "test-cluster"
        });
        let fetched: f64 = labelled.map(|sample| sample.value).sum();
        let arrived = sent(scene, "beyla.network.inter.zone.bytes");
        Ok(bytes >= whole(SIZE) && (fetched, arrived) == (bytes, bytes))
    })
}

/// An end on this host, which only its process tells from the host itself.
fn local_end_is_known(scene: &mut Scene<'_>, wire: &Wire, stage: &Stage) -> Result<()> {
    ask(wire, stage.port)?;
    until("the container of a local end", scene.limit(), || {
        let lines = printed(scene)?;
        let mut to = lines.iter().filter(|line| line.get("dst.port") == stage.port.to_string());
        let pid = stage.actor.pid.to_string();
        Ok(to.any(|line| {
            line.get("container.dst.id") == stage.container
                && line.get("container.dst.name") == "main"
                && line.get("k8s.dst.name") == "cart-6d5f-x7k2p"
                && line.get("k8s.dst.owner.name") == "cart"
                && line.get("service.peer.name") == "cart"
                && line.get("process.dst.pid") == pid
        }))
    })
}

fn drop_external(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let stage = observe(scene, &wire, &[("BEYLA_NETWORK_DROP_EXTERNAL", "true")])?;
    // No object of the cluster has this address.
    let script = scene.world.apps.path("python-datagrams.py");
    let mut scatter = wire.on(Host::One, "python3");
    scatter.arg(script).args(["scatter", &wire.bridge_address(), "10"]);
    ensure!(scatter.status()?.success());
    // The address is the same, but the process belongs to a pod.
    ask(&wire, stage.port)?;
    until("a flow to a pod in the network of this host", scene.limit(), || {
        let pod = |line: &FlowLine| line.get("k8s.dst.name") == "cart-6d5f-x7k2p";
        Ok(printed(scene)?.iter().any(pod))
    })?;
    for line in printed(scene)? {
        let known = |key| !line.get(key).is_empty();
        ensure!(known("k8s.src.name") && known("k8s.dst.name"), "{line:?}");
    }
    Ok(Expected { server: 1, ..deduplicated() })
}
