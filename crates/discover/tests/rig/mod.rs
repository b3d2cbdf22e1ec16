// SPDX-License-Identifier: Apache-2.0
//! A watch under test, with the test in the place of the kernel, and processes that end with the test.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use confique::Config;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use vor_discover::{
    Criteria, Discover, DiscoveryConfig, Event, Handle, Regexp, RootSettings, Target,
};
use vor_health::Board;
use vor_model::{Life, LifeEvent, ProcessKey};

/// Only the first listing.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);
/// Listings without end.
pub(crate) const OFTEN: Duration = Duration::from_millis(20);

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    handle: Handle,
    life: SyncSender<Life>,
    events: Receiver<Event>,
    board: Arc<Board>,
}

impl Rig {
    pub(crate) fn start(settings: &RootSettings, interval: Duration) -> Self {
        let config = config(interval);
        Self::watch(Criteria::new(settings.clone(), &config), &config)
    }

    pub(crate) fn start_family(pid: u32, interval: Duration) -> Self {
        let config = config(interval);
        let criteria = Criteria::new(RootSettings::default(), &config).descendants_of(pid);
        Self::watch(criteria, &config)
    }

    pub(crate) fn port(port: u16) -> RootSettings {
        RootSettings { open_port: port.to_string().parse().unwrap(), ..RootSettings::default() }
    }

    pub(crate) fn exe(pattern: &str) -> RootSettings {
        RootSettings { executable_name: Some(regexp(pattern)), ..RootSettings::default() }
    }

    fn watch(criteria: Criteria, config: &DiscoveryConfig) -> Self {
        let (life, heard) = sync_channel(8192);
        let (told, events) = sync_channel(8192);
        let board = Board::new();
        let tell = move |event| told.send(event).unwrap_or_default();
        let handle =
            Discover::start(criteria, config, heard, None, tell, Arc::clone(&board)).unwrap();
        Self { handle, life, events, board }
    }

    pub(crate) fn tell(&self, process: ProcessKey, event: LifeEvent) {
        self.life.send(Life { process, event }).unwrap();
    }

    pub(crate) fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until `pid` is found; other processes of the machine may be found meanwhile.
    pub(crate) fn found(&self, pid: u32) -> Target {
        loop {
            match self.next() {
                Event::Found(target) if target.process.key.pid == pid => return target,
                Event::Found(_) | Event::Renamed(_) | Event::Gone(_) => {}
            }
        }
    }

    pub(crate) fn renamed(&self, pid: u32) -> Target {
        loop {
            match self.next() {
                Event::Renamed(target) if target.process.key.pid == pid => return target,
                Event::Found(_) | Event::Renamed(_) | Event::Gone(_) => {}
            }
        }
    }

    /// Whether nothing is told for that long.
    pub(crate) fn silent(&self, time: Duration) -> bool {
        self.events.recv_timeout(time).is_err()
    }

    pub(crate) fn counter(&self, what: &'static str) -> u64 {
        self.board.counter("discover", what).get()
    }

    /// Waits until all of so many life events are accounted for.
    pub(crate) fn balanced(&self, heard: u64) {
        let accounted = || self.counter("out") + self.counter("lost.vanished");
        eventually(|| (accounted() == heard).then_some(()));
        assert_eq!(self.counter("in"), heard);
    }

    /// Tells nothing more; what is still told then.
    pub(crate) fn end(self) -> Vec<Event> {
        drop(self.life);
        self.handle.join();
        self.events.iter().collect()
    }
}

fn config(interval: Duration) -> DiscoveryConfig {
    let config = DiscoveryConfig::builder().load().unwrap();
    DiscoveryConfig { poll_interval: interval.into(), ..config }
}

fn regexp(text: &str) -> Regexp {
    let text: StrDeserializer<'_, Error> = text.into_deserializer();
    Regexp::deserialize(text).unwrap()
}

/// A process that ends, with its process group if it leads one, when the test does.
pub(crate) struct Child {
    child: std::process::Child,
}

impl Child {
    pub(crate) fn run(command: &mut Command) -> Self {
        Self { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, words: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(words).unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn python_server(port: u16, env: &[(&str, &str)]) -> Child {
    let mut command = Command::new("python3");
    let port = port.to_string();
    let args = ["-m", "http.server", "--bind", "127.0.0.1", &port];
    Child::run(command.args(args).envs(env.iter().copied()))
}

pub(crate) fn until_it_listens(port: u16) {
    eventually(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok());
}

pub(crate) fn until_it_runs(pid: u32, program: &str) {
    let exe = format!("/proc/{pid}/exe");
    eventually(|| std::fs::read_link(&exe).ok()?.ends_with(program).then_some(()));
}

/// Copies a program by another process: were its file open for writing here, a fork of another test could keep
/// it from being run.
pub(crate) fn copy(program: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-L").arg(program).arg(to).status().unwrap().success());
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(OwnedFd::from(listener));
    port
}

/// The key of a process, as the kernel side makes it.
pub(crate) fn key(pid: u32) -> ProcessKey {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').nth(19).unwrap().parse().unwrap();
    ProcessKey::new(pid, ticks * 10_000_000)
}

pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "it did not happen in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
