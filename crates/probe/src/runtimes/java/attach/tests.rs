// SPDX-License-Identifier: Apache-2.0
//! This process plays the JVM: a well-behaved one, and such as lie, flood and keep silent.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use vor_model::Mono;

use super::*;

const AGENT: &[u8] = b"not an agent";

fn process(pid: u32) -> ProcessKey {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
    ProcessKey { pid, started: Mono(ticks.parse::<u64>().unwrap() * 10_000_000) }
}

/// What comes of one try with so much time.
fn attempt(milliseconds: u64, ending: bool) -> Result<(), Refusal> {
    let target = Target::open(process(std::process::id()))?;
    let limit = Duration::from_millis(milliseconds);
    let time = Time {
        end: Instant::now() + limit,
        limit,
        ending: &AtomicBool::new(ending),
        process: target.end(),
    };
    attach(&target, AGENT, &time)
}

/// The same while `play` answers at the socket.
fn with(play: impl FnOnce(UnixStream) + Send, milliseconds: u64) -> Result<(), Refusal> {
    let path = format!("/tmp/.java_pid{}", std::process::id());
    let _ = fs::remove_file(&path);
    let socket = UnixListener::bind(&path).unwrap();
    let done = thread::scope(|scope| {
        scope.spawn(move || play(socket.accept().unwrap().0));
        attempt(milliseconds, false)
    });
    fs::remove_file(path).unwrap();
    done
}

/// The path in a request for this process's agent.
fn requested(talk: &mut UnixStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\0true\0\0") {
        talk.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let strings: Vec<_> = request.split('\0').collect();
    assert_eq!((strings[0], strings[1], strings[3], strings[4]), ("1", "load", "true", ""));
    strings[2].to_owned()
}

fn left_behind(path: &str) -> bool {
    fs::exists(path).unwrap()
}

/// One test: there is one socket for this process.
#[test]
fn a_jvm_is_asked_once_and_whatever_it_does_ends_in_time_and_leaves_nothing() {
    let mut path = String::new();
    let well = |mut talk: UnixStream| {
        path = requested(&mut talk);
        let file = fs::metadata(&path).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o500);
        assert_eq!(fs::read(&path).unwrap(), AGENT);
        talk.write_all(b"0\nreturn code: 0\n").unwrap();
    };
    assert_eq!(with(well, 5000), Ok(()));
    assert!(path.contains(AGENT_NAME) && !left_behind(&path));

    let floods = |mut talk: UnixStream| {
        requested(&mut talk);
        while talk.write_all(&[b'x'; 4096]).is_ok() {}
    };
    let Err(Refusal::Said(said)) = with(floods, 5000) else { panic!("a flood is no answer") };
    assert_eq!(said, "x".repeat(200));

    let start = Instant::now();
    let silent = |mut talk: UnixStream| {
        path = requested(&mut talk);
        // Until the other end gives up.
        let _ = talk.read(&mut [0]);
    };
    assert_eq!(with(silent, 200), Err(Refusal::Silent(Duration::from_millis(200))));
    assert!(start.elapsed() < Duration::from_secs(3) && !left_behind(&path));

    assert!(matches!(with(drop, 5000), Err(Refusal::Socket(_) | Refusal::Said(_))));

    // This process does not handle SIGQUIT, which would end it.
    assert_eq!(attempt(5000, false), Err(Refusal::Deaf));
    let trigger = format!(".attach_pid{}", std::process::id());
    assert!(!left_behind(&trigger) && !left_behind(&format!("/tmp/{trigger}")));

    fs::write(&trigger, "").unwrap();
    assert_eq!(attempt(5000, false), Err(Refusal::Busy));
    fs::remove_file(&trigger).unwrap();

    another_process_in_its_place();
    assert_eq!(attempt(5000, false), Err(Refusal::Deaf), "nothing is left of that");
}

/// A socket that somebody else listens at, and a link to one.
fn another_process_in_its_place() {
    let path = format!("/tmp/.java_pid{}", std::process::id());
    let serve = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('{path}'); s.listen(); print(flush=True); s.accept()[0].recv(9)"
    );
    let other = Command::new("python3").args(["-c", &serve]).stdout(Stdio::piped()).spawn();
    let mut other = other.unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_eq!(attempt(5000, false), Err(Refusal::Stranger));
    other.wait().unwrap();
    let moved = format!("{path}.moved");
    fs::rename(&path, &moved).unwrap();
    symlink(&moved, &path).unwrap();
    let target = Target::open(process(std::process::id())).unwrap();
    assert!(target.socket().is_none(), "links are not followed");
    fs::remove_file(&path).unwrap();
    fs::remove_file(&moved).unwrap();
}

#[test]
fn what_has_ended_or_never_was_is_gone() {
    let mut child = Command::new("true").spawn().unwrap();
    let key = process(child.id());
    child.wait().unwrap();
    assert_eq!(Target::open(key).unwrap_err(), Refusal::Gone);
    let other = ProcessKey { started: Mono(1), ..process(std::process::id()) };
    assert_eq!(Target::open(other).unwrap_err(), Refusal::Gone);
}

#[test]
fn the_end_of_vor_is_not_held_up() {
    let (pid, ending) = (std::process::id(), AtomicBool::new(true));
    let target = Target::open(process(pid)).unwrap();
    let limit = Duration::from_secs(60);
    let time = Time { end: Instant::now() + limit, limit, ending: &ending, process: target.end() };
    assert_eq!(time.pause(), Err(Refusal::Ending));
}

#[test]
fn only_a_jvm_without_the_agent_is_asked_and_never_twice() {
    let see = |names: &[&str]| {
        let board = Board::new();
        let limit = Duration::from_secs(1);
        let agents = Agents::start(AGENT, limit, &board, |_| ()).unwrap();
        let seen = Sighting::default();
        for name in names {
            seen.see(Path::new(name));
        }
        let gone = ProcessKey { started: Mono(1), ..process(std::process::id()) };
        let asked = agents.consider(gone, &seen, false);
        assert_eq!(agents.consider(gone, &seen, asked), asked);
        (asked, board.counter("agents", "in").get())
    };
    let jvm = "/opt/jdk/lib/server/libjvm.so";
    assert_eq!(see(&["/lib/libc.so.6"]), (false, 0));
    assert_eq!(see(&[jvm]), (true, 1));
    assert_eq!(see(&[jvm, "/tmp/.vor-java-00.so (deleted)"]), (false, 0));
    assert_eq!(see(&[jvm, "/opt/jre/lib/default/libj9vm29.so"]), (true, 1));
}
