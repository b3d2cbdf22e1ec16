// SPDX-License-Identifier: Apache-2.0
//! Whose an address is, while it changes hands: from pod to pod, to a service, to a node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vor_apiserver::{ApiServer, Options};

use super::kubernetes::follow;
use super::network::{PORT, deduplicated, printed, send, settings, talk};
use crate::flows::{Host, Wire};
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::until::until;

pub(super) fn list() -> Vec<Scenario> {
    vec![Scenario::new("kubernetes-addresses", addresses).needs(&["ip", "python3"])]
}

fn node(name: &str, ip: &str, zone: &str) -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}]},
    })
}

fn pod(name: &str, owner: (&str, &str), node: (&str, &str), ip: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "labels": {"pod-template-hash": "6d5f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner.0, "name": owner.1,
                                 "uid": "owner", "controller": true}],
        },
        "spec": {"nodeName": node.0, "containers": [{"name": "main", "image": "shop:1"}]},
        "status": {"phase": "Running", "hostIP": node.1, "podIP": ip,
                   "startTime": "2026-11-25T01:02:03Z"},
    })
}

/// Talks until the newest flow to the server says all of `expected`.
fn until_told(scene: &mut Scene<'_>, wire: &Wire, expected: &[(&str, &str)]) -> Result<()> {
    let mut last = None;
    let limit = scene.limit();
    let told = until(format!("{expected:?}"), limit, || {
        send(scene, wire)?;
        let lines = printed(scene)?;
        let Some(line) = lines.into_iter().rfind(|line| line.get("dst.port") == PORT) else {
            return Ok(false);
        };
        let told = expected.iter().all(|(key, value)| line.get(key) == *value);
        last = Some(line);
        Ok(told)
    });
    told.with_context(|| format!("the last flow was {last:?}"))
}

fn addresses(scene: &mut Scene<'_>) -> Result<Expected> {
    let options = Options { bookmarks: Duration::from_millis(200), ..Options::default() };
    let server = ApiServer::start(&options)?;
    server.write_access(scene.dir())?;
    let cluster = server.cluster();
    let wire = Wire::new()?;
    let (one, two) = (wire.address(Host::One), wire.address(Host::Two));
    let (here, there) = (("node-1", "192.168.77.1"), ("node-2", "192.168.77.2"));
    cluster.put(node(here.0, here.1, "eu-1a"))?;
    cluster.put(node(there.0, there.1, "eu-1b"))?;
    cluster.put(pod("cart-6d5f-x7k2p", ("ReplicaSet", "cart-6d5f"), here, &one))?;
    cluster.put(pod("db-0", ("StatefulSet", "db"), there, &two))?;
    talk(scene, &wire)?;
    let settings = follow(settings(&wire), scene);
    scene.observe(&settings, &[])?;
    let expected = [("k8s.src.owner.type", "Deployment"), ("k8s.dst.owner.type", "StatefulSet")];
    until_told(scene, &wire, &expected)?;

    // The pod ends, and another one gets its address.
    ensure!(cluster.delete("Pod", "shop", "cart-6d5f-x7k2p"), "the pod was there");
    cluster.put(pod("pay-7c1d-aaaaa", ("DaemonSet", "pay"), here, &one))?;
    let expected = [("k8s.src.name", "pay-7c1d-aaaaa"), ("k8s.src.owner.type", "DaemonSet")];
    until_told(scene, &wire, &expected)?;

    // The address of a service, as packets have it before they are translated.
    ensure!(cluster.delete("Pod", "shop", "db-0"), "the pod was there");
    cluster.put(json!({
        "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"clusterIP": two, "clusterIPs": [two]},
    }))?;
    let expected = [("k8s.dst.name", "db"), ("k8s.dst.type", "Service"), ("dst.name", "db")];
    until_told(scene, &wire, &expected)?;

    // A node's own address.
    ensure!(cluster.delete("Service", "shop", "db"), "the service was there");
    cluster.put(node("node-3", &two, "eu-1c"))?;
    let expected = [("k8s.dst.name", "node-3"), ("k8s.dst.type", "Node"), ("dst.zone", "eu-1c")];
    until_told(scene, &wire, &expected)?;
    Ok(deduplicated())
}
