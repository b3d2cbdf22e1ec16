// SPDX-License-Identifier: Apache-2.0
//! What the unit `life` sees of real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use vor_config::Propagation;
use vor_health::Board;
use vor_model::{Life, LifeEvent, ProcessKey, Sampling, TaskName};
use vor_probe::{Descend, Probe};

mod settings;

struct Watch {
    probe: Probe,
    life: Receiver<Life>,
    board: Arc<Board>,
}

fn watch() -> Watch {
    let board = Board::new();
    let (captures, _) = tokio::sync::mpsc::channel(1);
    let (events, life) = sync_channel(65_536);
    let probe = Probe::start(
        &settings::defaults(),
        None,
        Sampling::DEFAULT,
        Propagation::DISABLED,
        Arc::clone(&board),
        captures,
        events,
    )
    .unwrap();
    Watch { probe, life, board }
}

impl Watch {
    /// The next event of `pid`.
    fn next(&self, pid: u32) -> Life {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let life = self.life.recv_timeout(left).expect("no event came");
            if life.process.pid == pid {
                return life;
            }
        }
    }
}

fn key(pid: u32) -> ProcessKey {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    ProcessKey::new(pid, ticks * 10_000_000)
}

/// A shell that runs `script` and whose first line of output is awaited.
fn shell(script: &str) -> Child {
    let pipes = (Stdio::piped(), Stdio::piped());
    Command::new("sh").args(["-c", script]).stdin(pipes.0).stdout(pipes.1).spawn().unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_process_is_seen_from_fork_to_exit() {
    let watch = watch();
    let mut child = shell("read x");
    let process = key(child.id());
    let fork = LifeEvent::Fork { parent: std::process::id() };
    assert_eq!(watch.next(process.pid), Life { process, event: fork });
    let program = TaskName::new(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(watch.next(process.pid), Life { process, event: LifeEvent::Exec { program } });
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(watch.next(process.pid), Life { process, event: LifeEvent::Exit });
}

#[test]
#[ignore = "needs root"]
fn root_a_new_port_is_told_with_its_process() {
    let watch = watch();
    let listener = std::thread::spawn(|| TcpListener::bind("127.0.0.1:0").unwrap()).join().unwrap();
    let port = listener.local_addr().unwrap().port();
    let process = key(std::process::id());
    let event = loop {
        let life = watch.next(process.pid);
        if matches!(life.event, LifeEvent::Listen { .. }) {
            break life;
        }
    };
    assert_eq!(event, Life { process, event: LifeEvent::Listen { port } });
}

#[test]
#[ignore = "needs root"]
fn root_children_are_observed_until_they_run_another_program() {
    let watch = watch();
    let handle = watch.probe.handle();
    for (descend, kept) in [(Descend::No, false), (Descend::Yes, true)] {
        let mut parent =
            shell("echo; read go; exec 3<&0; (read x <&3) & echo $!; sleep 9 & echo $!; wait");
        let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        // Its parent is told of an exec before the hook is: admitted too early, it would be dropped again.
        assert_eq!(lines.next().unwrap().unwrap(), "");
        let observed = key(parent.id());
        assert!(handle.admit(observed, descend, Propagation::DISABLED));
        eventually("the parent is observed", || handle.exchanges(observed).is_some());
        parent.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut pid = || lines.next().unwrap().unwrap().parse().unwrap();
        let (forked, executed): (u32, u32) = (pid(), pid());
        assert_eq!(handle.exchanges(key(forked)), Some(0));
        let exe = format!("/proc/{executed}/comm");
        eventually("sleep runs", || fs::read_to_string(&exe).unwrap() == "sleep\n");
        let executed_is = || handle.exchanges(key(executed)).is_some();
        eventually("sleep is observed or not", || executed_is() == kept);

        handle.retire(observed);
        eventually("the parent is retired", || handle.exchanges(observed).is_none());
        for pid in [executed, parent.id(), forked] {
            // The three were started above.
            Command::new("kill").arg(pid.to_string()).status().unwrap();
        }
        parent.wait().unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_burst_of_processes_is_seen_whole() {
    const BURST: usize = 2000;
    let watch = watch();
    let script = format!("i=0; while [ $i -lt {BURST} ]; do : | : ; i=$((i+2)); done; wait");
    let mut parent = shell(&script);
    let shell = parent.id();
    parent.wait().unwrap();
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    watch.probe.stop();
    let mut forked = 0;
    while let Ok(life) = watch.life.try_recv() {
        match life.event {
            LifeEvent::Fork { parent } if parent == shell => {
                forked += 1;
                seen.insert(life.process.pid, 0);
            }
            LifeEvent::Exit => *seen.entry(life.process.pid).or_default() += 1,
            LifeEvent::Fork { .. } | LifeEvent::Exec { .. } | LifeEvent::Listen { .. } => {}
        }
    }
    assert_eq!(forked, BURST);
    assert!(seen.values().all(|exits| *exits >= 1), "{seen:?}");
    let count = |what| watch.board.counter("life", what).get();
    assert_eq!(count("in"), count("out"));
    assert_eq!((count("lost.full"), count("lost.ring_full")), (0, 0));
}
