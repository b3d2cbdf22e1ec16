// SPDX-License-Identifier: Apache-2.0
//! A real containerd is asked for real containers: one that `ctr` runs, and one that is made as the kubelet does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of these tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use vor_enrich::Names;
use vor_enrich::container::{ContainersConfig, Engines};
use vor_enrich::kube::{Rules, Store};
use vor_health::Board;
use vor_model::{Key, Lookup, Workload};

const PATIENCE: Duration = Duration::from_secs(60);
const IMAGE: &str = "registry.test/shop/cart:1.2";

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}: {said}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

fn sha256(file: &Path) -> String {
    run(Command::new("sha256sum").arg(file)).split(' ').next().unwrap().to_owned()
}

/// containerd with a folder of its own, and one image whose program waits.
struct Containerd {
    folder: tempfile::TempDir,
    server: Child,
}

impl Containerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {IMAGE:?}\n\
             restrict_oom_score_adj = true\ndisable_apparmor = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("containerd.sock")
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let server = Command::new("containerd")
            .arg("--config")
            .arg(folder.path().join("config.toml"))
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self { folder, server };
        let start = Instant::now();
        while !this.ctr("default").arg("version").output().unwrap().status.success() {
            let log = fs::read_to_string(this.folder.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "containerd does not serve: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let image = this.image();
        for namespace in ["default", "k8s.io"] {
            let mut import = this.ctr(namespace);
            run(import.args(["images", "import", "--snapshotter", "native"]).arg(&image));
        }
        this
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    fn ctr(&self, namespace: &str) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", namespace]);
        ctr
    }

    /// An archive of an image, as `docker save` writes it.
    fn image(&self) -> PathBuf {
        let folder = self.folder.path().join("image");
        fs::create_dir_all(folder.join("rootfs")).unwrap();
        fs::write(folder.join("wait.c"), "int pause(void); int main(void) { return pause(); }\n")
            .unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-static", "-o"]).arg(folder.join("rootfs/wait")).arg(folder.join("wait.c"));
        run(&mut gcc);
        let tar = |archive: &str, of: &Path, files: &[&str]| {
            let mut tar = Command::new("tar");
            run(tar.arg("-cf").arg(folder.join(archive)).arg("-C").arg(of).args(files));
        };
        tar("layer.tar", &folder.join("rootfs"), &["wait"]);
        let layer = sha256(&folder.join("layer.tar"));
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
            "os": "linux", "config": {"Cmd": ["/wait"]}, "history": [],
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        });
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let manifest = serde_json::json!([
            {"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]},
        ]);
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        tar("image.tar", &folder, &["config.json", "layer.tar", "manifest.json"]);
        folder.join("image.tar")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for namespace in ["default", "k8s.io"] {
            let listed = self.ctr(namespace).args(["tasks", "list", "--quiet"]).output();
            let listed = listed.map(|listed| listed.stdout).unwrap_or_default();
            for id in String::from_utf8_lossy(&listed).lines() {
                let _ = self.ctr(namespace).args(["tasks", "delete", "--force", id]).output();
            }
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Parts of what the kubelet tells a runtime, with the numbers of CRI's API.
mod cri {
    use std::collections::HashMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Metadata {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) uid: String,
        #[prost(string, tag = "3")]
        pub(crate) namespace: String,
    }
    /// Host network, host processes, host IPC: nothing has to be set up.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct NamespaceOptions {
        #[prost(int32, tag = "1")]
        pub(crate) network: i32,
        #[prost(int32, tag = "2")]
        pub(crate) pid: i32,
        #[prost(int32, tag = "3")]
        pub(crate) ipc: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct SecurityContext {
        #[prost(message, optional, tag = "1")]
        pub(crate) namespaces: Option<NamespaceOptions>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct LinuxSandbox {
        #[prost(message, optional, tag = "2")]
        pub(crate) security: Option<SecurityContext>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct SandboxConfig {
        #[prost(message, optional, tag = "1")]
        pub(crate) metadata: Option<Metadata>,
        #[prost(message, optional, tag = "8")]
        pub(crate) linux: Option<LinuxSandbox>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct RunSandbox {
        #[prost(message, optional, tag = "1")]
        pub(crate) config: Option<SandboxConfig>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Id {
        #[prost(string, tag = "1")]
        pub(crate) id: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Image {
        #[prost(string, tag = "1")]
        pub(crate) image: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct LinuxContainerSecurity {
        #[prost(message, optional, tag = "3")]
        pub(crate) namespaces: Option<NamespaceOptions>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct LinuxContainer {
        #[prost(message, optional, tag = "2")]
        pub(crate) security: Option<LinuxContainerSecurity>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct ContainerConfig {
        #[prost(message, optional, tag = "1")]
        pub(crate) metadata: Option<Metadata>,
        #[prost(message, optional, tag = "2")]
        pub(crate) image: Option<Image>,
        #[prost(map = "string, string", tag = "9")]
        pub(crate) labels: HashMap<String, String>,
        #[prost(message, optional, tag = "15")]
        pub(crate) linux: Option<LinuxContainer>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct CreateContainer {
        #[prost(string, tag = "1")]
        pub(crate) sandbox: String,
        #[prost(message, optional, tag = "2")]
        pub(crate) config: Option<ContainerConfig>,
        #[prost(message, optional, tag = "3")]
        pub(crate) sandbox_config: Option<SandboxConfig>,
    }
}

/// Asks the runtime what the kubelet would; the answer is an id.
async fn tell<Q>(channel: &Channel, call: &'static str, question: Q) -> String
where
    Q: prost::Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<Q, cri::Id>::default();
    let answer = client.unary(tonic::Request::new(question), call.parse().unwrap(), codec).await;
    answer.unwrap_or_else(|status| panic!("{call}: {status:?}")).into_inner().id
}

/// A container of a pod, made as the kubelet makes it.
async fn container_of_a_pod(containerd: &Containerd) -> String {
    let endpoint = Endpoint::from_shared(format!("unix://{}", containerd.socket().display()));
    let channel = endpoint.unwrap().connect().await.unwrap();
    // NamespaceMode.NODE
    let namespaces = Some(cri::NamespaceOptions { network: 2, pid: 2, ipc: 2 });
    let name = |name: &str| {
        Some(cri::Metadata { name: name.into(), uid: "u-1".into(), namespace: "shop".into() })
    };
    let security = Some(cri::SecurityContext { namespaces: namespaces.clone() });
    let linux = Some(cri::LinuxSandbox { security });
    let sandbox_config = Some(cri::SandboxConfig { metadata: name("cart-0"), linux });
    let run = cri::RunSandbox { config: sandbox_config.clone() };
    let sandbox = tell(&channel, "/runtime.v1.RuntimeService/RunPodSandbox", run).await;
    let labels = [("io.kubernetes.pod.uid", "u-1"), ("io.kubernetes.container.name", "main")];
    let config = cri::ContainerConfig {
        metadata: Some(cri::Metadata { name: "main".into(), ..cri::Metadata::default() }),
        image: Some(cri::Image { image: IMAGE.into() }),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        linux: Some(cri::LinuxContainer {
            security: Some(cri::LinuxContainerSecurity { namespaces }),
        }),
    };
    let create = cri::CreateContainer { sandbox, config: Some(config), sandbox_config };
    tell(&channel, "/runtime.v1.RuntimeService/CreateContainer", create).await
}

async fn answer(names: &Names, id: &Arc<str>) -> Lookup {
    let start = Instant::now();
    loop {
        match names.find(id) {
            Lookup::Awaited if start.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other => return other,
        }
    }
}

fn told(lookup: Lookup) -> Vec<String> {
    let Lookup::Known(found) = lookup else { panic!("not known: {lookup:?}") };
    let text = |found: &Workload, key: &'static str| {
        found.attrs.get(&Key::new(key)).map(ToString::to_string).unwrap_or_default()
    };
    ["container.name", "container.image.name", "container.image.tags"]
        .map(|key| text(&found, key))
        .into()
}

#[tokio::test]
#[ignore = "needs root and containerd"]
async fn root_containers_of_containerd_are_known_by_name_and_image() {
    let containerd = Containerd::start();
    let of_nerdctl: Arc<str> = "a".repeat(64).into();
    let mut ctr = containerd.ctr("default");
    ctr.args(["run", "--detach", "--snapshotter", "native", "--label", "nerdctl/name=cart-1"]);
    run(ctr.args([IMAGE, &of_nerdctl]));
    let of_kubelet: Arc<str> = container_of_a_pod(&containerd).await.into();

    let board = Board::new();
    // A runtime of Kubernetes that is none of containerd's namespaces: asked over CRI by its socket's name.
    let crio = containerd.folder.path().join("crio.sock");
    std::os::unix::fs::symlink(containerd.socket(), &crio).unwrap();
    for (socket, expected) in
        [(containerd.socket(), [Some("cart-1"), Some("main")]), (crio, [None, Some("main")])]
    {
        let engines = Engines::start(&ContainersConfig { sockets: vec![socket] }, &board);
        let names = Names::new(None, engines.clone());
        for (id, name) in [&of_nerdctl, &of_kubelet].into_iter().zip(expected) {
            let found = answer(&names, id).await;
            match name {
                Some(name) => {
                    let (image, tag) = ("registry.test/shop/cart", "[\"1.2\"]");
                    assert_eq!(told(found), [name, image, tag]);
                }
                None => assert_eq!(found, Lookup::Unknown),
            }
        }
        assert_eq!(answer(&names, &"b".repeat(64).into()).await, Lookup::Unknown);
        // Where a cluster is followed it is the cluster that names its pods, if it does not know them yet.
        let cluster = Store::new(1, Rules::default(), &board);
        let names = Names::new(Some(cluster), engines);
        assert_eq!(names.find(&of_kubelet), Lookup::Awaited);
        assert_eq!(matches!(names.find(&of_nerdctl), Lookup::Known(_)), expected[0].is_some());
    }
    let count = |what| board.counter("containers", what).get();
    assert_eq!((count("in"), count("out"), count("lost.unknown")), (6, 3, 3));
}
