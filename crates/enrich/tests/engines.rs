// SPDX-License-Identifier: Apache-2.0
//! A real podman is asked for a real container, over the socket that Docker's clients use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of these tests are tests too")]

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vor_enrich::Names;
use vor_enrich::container::{ContainersConfig, Engines};
use vor_health::{Board, Verdict};
use vor_model::{Key, Lookup};

const PATIENCE: Duration = Duration::from_secs(60);

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn podman(folder: &Path) -> Command {
    let mut podman = Command::new("podman");
    podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    podman.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
    podman
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

#[tokio::test]
#[ignore = "needs root and podman"]
async fn root_a_container_of_podman_is_known_by_name_and_by_what_it_was_composed_for() {
    let folder = tempfile::tempdir().unwrap();
    let (rootfs, socket) = (folder.path().join("rootfs"), folder.path().join("api.sock"));
    std::fs::create_dir_all(rootfs.join("bin")).unwrap();
    let created = podman(folder.path())
        .args(["create", "--name", "shop-cart-1", "--label", "com.docker.compose.project=shop"])
        .args(["--label", "com.docker.compose.service=cart", "--rootfs"])
        .arg(&rootfs)
        .arg("/bin/true")
        .output()
        .unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let id: Arc<str> = String::from_utf8(created.stdout).unwrap().trim().into();
    let service = podman(folder.path())
        .args(["system", "service", "--time", "0"])
        .arg(format!("unix://{}", socket.display()))
        .spawn();
    let _service = Service(service.unwrap());
    let start = Instant::now();
    while !socket.exists() {
        assert!(start.elapsed() < PATIENCE, "podman does not serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let board = Board::new();
    let engines = Engines::start(&ContainersConfig { sockets: vec![socket] }, &board);
    let names = Names::new(None, engines);
    let before = names.revision();
    let Lookup::Known(found) = answer(&names, &id).await else { panic!("not known") };
    assert_eq!((&*found.name, &*found.namespace), ("cart", "shop"));
    let text = |key: &'static str| found.attrs.get(&Key::new(key)).map(ToString::to_string);
    assert_eq!(text("container.name").as_deref(), Some("shop-cart-1"));
    assert_eq!(text("container.id").as_deref(), Some(&*id));
    assert!(names.revision() > before);
    let stranger: Arc<str> = "a".repeat(64).into();
    assert_eq!(answer(&names, &stranger).await, Lookup::Unknown);
    let count = |what| board.counter("containers", what).get();
    assert_eq!((count("in"), count("out"), count("lost.unknown")), (2, 1, 1));
}

#[tokio::test]
async fn an_engine_that_gives_no_answer_is_named_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let board = Board::new();
    let config = ContainersConfig { sockets: vec![socket] };
    let names = Names::new(None, Engines::start(&config, &board));
    // Accepts and ends each connection without a word.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    assert_eq!(answer(&names, &"a".repeat(64).into()).await, Lookup::Unknown);
    let verdict = board.verdicts().into_iter().find(|(unit, _)| *unit == "containers");
    assert!(matches!(verdict, Some((_, Verdict::Degraded(why))) if why.contains("silent.sock")));
    assert_eq!(board.counter("containers", "lost.failed").get(), 1);
}

#[tokio::test]
async fn without_an_engine_nobody_is_asked() {
    let config = ContainersConfig { sockets: vec!["/nowhere/docker.sock".into()] };
    assert!(Engines::start(&config, &Board::new()).is_none());
    let names = Names::new(None, None);
    assert!(!names.knows_containers());
    assert_eq!(names.find(&"a".into()), Lookup::Unknown);
}
