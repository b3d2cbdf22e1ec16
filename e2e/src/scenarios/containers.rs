// SPDX-License-Identifier: Apache-2.0
//! Programs in control groups as every runtime lays them out, with and without a cluster that knows them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use vor_apiserver::{ApiServer, Options};

use super::kubernetes::{follow, random_id};
use crate::cgroup::Cgroup;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Scene, only};
use crate::until::until;
use crate::vor::Settings;
use crate::web::Talk;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("container-id", container_id),
        Scenario::new("container-layouts", layouts),
        Scenario::new("container-podman", live).needs(&["podman", "runc", "python3"]),
    ]
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

/// podman with storage of its own, and one container called `NAME`, which ends with it.
struct Podman {
    folder: PathBuf,
}

impl Podman {
    const NAME: &str = "shop-cart-1";

    fn command(&self, arguments: &[&str]) -> Command {
        let mut podman = Command::new("podman");
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        // crun refuses hosts with control groups of both versions.
        podman.args(["--events-backend", "file", "--runtime", "runc"]);
        podman.arg("--root").arg(self.folder.join("root")).arg("--runroot");
        podman.arg(self.folder.join("run")).args(arguments);
        podman
    }

    /// Python's own server, with the host's programs in a root of its own.
    fn serve(&self, port: u16) -> Result<Command> {
        let rootfs = self.folder.join("rootfs");
        fs::create_dir_all(rootfs.join("usr"))?;
        for name in ["bin", "lib", "lib64"] {
            symlink(Path::new("usr").join(name), rootfs.join(name))?;
        }
        let mut run = self.command(&["run", "--name", Self::NAME, "--network", "host"]);
        run.args(["--label", "com.docker.compose.project=shop"]);
        run.args(["--label", "com.docker.compose.service=cart"]);
        // What podman asks for by default may be more than its own limit.
        run.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        run.args(["--volume", "/usr:/usr:ro", "--rootfs"]).arg(rootfs);
        run.args(["python3", "-m", "http.server", &port.to_string()]);
        Ok(run)
    }

    fn inspect(&self, what: &str) -> Result<String> {
        let said = self.command(&["inspect", "--format", what, Self::NAME]).output()?;
        ensure!(said.status.success(), "podman: {}", String::from_utf8_lossy(&said.stderr));
        Ok(String::from_utf8(said.stdout)?.trim().to_owned())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--force", "--time", "0", Self::NAME]).output();
    }
}

/// A container that runs: podman is asked for its names.
fn live(scene: &mut Scene<'_>) -> Result<Expected> {
    let podman = Podman { folder: scene.dir().join("podman") };
    fs::create_dir_all(&podman.folder)?;
    let socket = podman.folder.join("api.sock");
    let mut service = podman.command(&["system", "service", "--time", "0"]);
    service.arg(format!("unix://{}", socket.display()));
    scene.start(service)?;
    until("podman serves", scene.limit(), || Ok(socket.exists()))?;
    let port = ports::free()?;
    scene.serve(podman.serve(port)?, port)?;
    let (pid, id) = (podman.inspect("{{.State.Pid}}")?.parse()?, podman.inspect("{{.Id}}")?);
    let settings = Settings::port(port).with("VOR_CONTAINER_SOCKETS", socket.display());
    scene.observe(&settings, &[pid])?;
    ensure!(Talk::to(port)?.get("/usr/")?.status == 200, "it is answered");
    let span = only(&scene.spans(1)?)?;
    for (key, value) in [
        ("container.id", &*id),
        ("container.name", Podman::NAME),
        ("service.name", "cart"),
        ("service.namespace", "shop"),
    ] {
        let told = span.resource.get(key).map(String::as_str);
        ensure!(told == Some(value), "{key} is {told:?}, expected {value}");
    }
    Ok(Expected::server(1))
}
