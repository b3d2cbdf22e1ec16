// SPDX-License-Identifier: Apache-2.0
//! Programs in control groups as every runtime lays them out, with and without a cluster that knows them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use vor_apiserver::{ApiServer, Options};

use super::kubernetes::{follow, random_id};
use crate::cgroup::Cgroup;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Scene, only};
use crate::vor::Settings;
use crate::web::Talk;

pub(super) fn list() -> Vec<Scenario> {
    vec![Scenario::new("container-id", container_id), Scenario::new("container-layouts", layouts)]
}

/// How runtimes call the group of container `{id}`: below Kubernetes with both drivers of control groups, alone, nested,
/// and of a user.
const LAYOUTS: [(&str, &str); 8] = [
    ("containerd", "vor-e2e/kubepods/burstable/podu-1/{id}"),
    ("containerd", "vor-e2e.slice/vor-e2e-kubepods-podu_1.slice/cri-containerd-{id}.scope"),
    ("containerd", "vor-e2e.slice/containerd.service/kubepods-podu_1.slice:cri-containerd:{id}"),
    ("cri-o", "vor-e2e.slice/vor-e2e-kubepods-podu_1.slice/crio-{id}.scope/container"),
    ("docker", "vor-e2e/docker/{id}"),
    ("docker", "vor-e2e.slice/docker-{id}.scope"),
    ("docker", "vor-e2e/docker/{outer}/kubelet/kubepods/podu-1/{id}"),
    (
        "podman",
        "vor-e2e.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container",
    ),
];

/// Each is found to be its pod's, also one on its node's network.
fn layouts(scene: &mut Scene<'_>) -> Result<Expected> {
    let options = Options { bookmarks: Duration::from_millis(200), ..Options::default() };
    let server = ApiServer::start(&options)?;
    server.write_access(scene.dir())?;
    let mut running = Vec::new();
    for (at, (runtime, layout)) in LAYOUTS.iter().enumerate() {
        let id = random_id();
        let group = layout.replace("{id}", &id).replace("{outer}", &random_id());
        let cgroup = Cgroup::create(&group)?;
        let port = ports::free()?;
        let mut command = scene.world.apps.program("epoll");
        command.arg(port.to_string());
        let actor = scene.serve(cgroup.command(&command)?, port)?;
        server.cluster().put(json!({
            "kind": "Pod",
            "metadata": {"name": format!("p{at}"), "namespace": "shop"},
            "spec": {"nodeName": "node-1", "hostNetwork": at == 0,
                     "containers": [{"name": "main", "image": "shop:1"}]},
            "status": {"phase": "Running", "podIP": format!("10.0.78.{at}"), "containerStatuses": [
                {"name": "main", "containerID": format!("{runtime}://{id}")}]},
        }))?;
        running.push((actor.pid, port, id, cgroup));
    }
    let ports: Vec<_> = running.iter().map(|(_, port, ..)| port.to_string()).collect();
    let pids: Vec<_> = running.iter().map(|(pid, ..)| *pid).collect();
    let settings = follow(Settings::default(), scene).with("BEYLA_OPEN_PORT", ports.join(","));
    scene.observe(&settings, &pids)?;
    for (_, port, ..) in &running {
        ensure!(Talk::to(*port)?.get("/")?.status == 200, "it is answered");
    }
    let spans = scene.spans(running.len())?;
    for (at, (_, _, id, _)) in running.iter().enumerate() {
        let layout = LAYOUTS.get(at).map(|(_, layout)| layout);
        let mut of_container =
            spans.iter().filter(|span| span.resource.get("container.id") == Some(id));
        let span = of_container.next().with_context(|| format!("no container in {layout:?}"))?;
        let pod = span.resource.get("k8s.pod.name");
        ensure!(pod == Some(&format!("p{at}")), "{layout:?} is pod {pod:?}");
        ensure!(of_container.next().is_none(), "{layout:?} answered once");
    }
    Ok(Expected::server(running.len()))
}

/// Without a cluster a container still has its id.
fn container_id(scene: &mut Scene<'_>) -> Result<Expected> {
    let id = random_id();
    let cgroup = Cgroup::create(&format!("vor-e2e.slice/docker-{id}.scope"))?;
    let port = ports::free()?;
    let mut command = scene.world.apps.program("epoll");
    command.arg(port.to_string());
    let actor = scene.serve(cgroup.command(&command)?, port)?;
    scene.observe(&Settings::port(port), &[actor.pid])?;
    ensure!(Talk::to(port)?.get("/")?.status == 200, "it is answered");
    let span = only(&scene.spans(1)?)?;
    let told = span.resource.get("container.id");
    ensure!(told == Some(&id), "the container is {told:?}");
    Ok(Expected::server(1))
}
