// SPDX-License-Identifier: Apache-2.0
//! Real processes are found, named, told apart and forgotten.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

mod rig;

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rig::{Child, NEVER, OFTEN, Rig, free_port, key, python_server};
use tempfile::TempDir;
use vor_discover::{Event, RootSettings};
use vor_model::{Key, Language, LifeEvent, ProcessKey, TaskName};

#[test]
fn a_server_that_ran_before_is_found_by_its_port_and_named() {
    let port = free_port();
    let server = python_server(port, &[("OTEL_RESOURCE_ATTRIBUTES", "team=shop")]);
    rig::until_it_listens(port);
    let rig = Rig::start(&Rig::port(port), NEVER);
    let target = rig.found(server.pid());
    assert_eq!(target.process.key, key(server.pid()));
    assert_eq!(target.process.ppid, std::process::id());
    assert_eq!(target.process.language, Language::Python);
    assert!(target.service.name.starts_with("python3") && target.service.auto_name);
    assert!(target.service.instance.ends_with(&format!(":{}", server.pid())));
    assert_eq!(target.service.attrs.get(&Key::new("team")).unwrap().as_str(), Some("shop"));
    let gone = target.process.key;
    drop(server);
    rig.tell(gone, LifeEvent::Exit);
    assert_eq!(rig.next(), Event::Gone(gone));
}

#[test]
fn a_server_that_starts_later_is_found_by_listing_alone_and_so_is_its_end() {
    let port = free_port();
    let rig = Rig::start(&Rig::port(port), OFTEN);
    let server = python_server(port, &[("OTEL_SERVICE_NAME", "shop")]);
    let target = rig.found(server.pid());
    assert_eq!((&*target.service.name, target.service.auto_name), ("shop", false));
    drop(server);
    assert_eq!(rig.next(), Event::Gone(target.process.key));
}

#[test]
fn a_server_that_starts_later_is_found_by_events_alone() {
    let port = free_port();
    let rig = Rig::start(&Rig::port(port), NEVER);
    let server = python_server(port, &[]);
    rig.tell(key(server.pid()), LifeEvent::Exec { program: TaskName::default() });
    rig::until_it_listens(port);
    rig.tell(key(server.pid()), LifeEvent::Listen { port: port.wrapping_add(1) });
    rig.tell(key(server.pid()), LifeEvent::Listen { port });
    rig.found(server.pid());
    rig.balanced(3);
}

#[test]
fn vor_itself_is_never_a_target() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings =
        RootSettings { open_port: port.to_string().parse().unwrap(), ..Rig::exe("sleep$") };
    let rig = Rig::start(&settings, OFTEN);
    rig.tell(key(std::process::id()), LifeEvent::Listen { port });
    let own = Rig::start(&Rig::port(port), OFTEN);
    own.tell(key(std::process::id()), LifeEvent::Listen { port });
    let other = Child::run(Command::new("sleep").arg("60"));
    assert!(rig.silent(Duration::from_millis(200)) && own.silent(Duration::from_millis(1)));
    drop(other);
}

#[test]
#[ignore = "needs root"]
fn root_a_port_is_that_of_the_servers_own_network_namespace() {
    let port = free_port();
    let server = "import socket, sys, time; s = socket.create_server(('', int(sys.argv[1]))); time.sleep(60)";
    let mut command = Command::new("unshare");
    let inside = Child::run(command.args(["--net", "python3", "-c", server, &port.to_string()]));
    // The same program outside listens on another port.
    let outside = python_server(free_port(), &[]);
    let rig = Rig::start(&Rig::port(port), OFTEN);
    let target = rig.found(inside.pid());
    assert_eq!(target.process.language, Language::Python);
    assert_ne!(target.process.key.pid, outside.pid());
    assert!(rig.silent(Duration::from_millis(100)));
}

#[test]
fn a_forked_worker_is_a_target_like_its_parent_until_it_runs_another_program() {
    let port = free_port();
    let script = "
import os, socket, sys, time
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
if os.fork() == 0:
    sys.stdin.read(1)
    os.execvp('sleep', ['sleep', '60'])
time.sleep(60)
";
    let mut command = Command::new("python3");
    let command = command.args(["-c", script, &port.to_string()]).stdin(Stdio::piped());
    let mut server = Child::run(command.process_group(0));
    rig::until_it_listens(port);
    let worker = rig::eventually(|| rig::children(server.pid()).first().copied());
    let rig = Rig::start(&Rig::port(port), NEVER);
    let parent = rig.found(server.pid());
    let child = rig.found(worker);
    assert_eq!(child.service.name, parent.service.name);
    assert_ne!(child.service.instance, parent.service.instance);
    assert_eq!(child.process.ppid, server.pid());
    server.say(b"go");
    rig::until_it_runs(worker, "sleep");
    rig.tell(child.process.key, LifeEvent::Exec { program: TaskName::default() });
    assert_eq!(rig.next(), Event::Gone(child.process.key));
    // What the kernel says of a fork is enough to know the next worker.
    let next = ProcessKey::new(4_000_000, 10_000_000);
    rig.tell(next, LifeEvent::Fork { parent: server.pid() });
    let Event::Found(forked) = rig.next() else { panic!("a worker is wanted") };
    assert_eq!((forked.process.key, &forked.service.name), (next, &parent.service.name));
    assert!(forked.service.instance.ends_with(":4000000"));
    rig.tell(next, LifeEvent::Exit);
    assert_eq!(rig.next(), Event::Gone(next));
}

#[test]
fn a_target_that_runs_another_wanted_program_is_renamed() {
    let mut command = Command::new("sh");
    let mut shell = Child::run(command.args(["-c", "read x; exec sleep 60"]).stdin(Stdio::piped()));
    let settings = Rig::exe("/(da|ba)?sh$|/sleep$");
    let rig = Rig::start(&settings, NEVER);
    let before = rig.found(shell.pid());
    shell.say(b"go\n");
    let pid = shell.pid();
    rig::until_it_runs(pid, "sleep");
    rig.tell(key(pid), LifeEvent::Exec { program: TaskName::default() });
    let after = rig.renamed(pid);
    assert_eq!(before.process.key, after.process.key);
    assert!(after.process.exe.ends_with("sleep") && &*after.service.name == "sleep");
}

#[test]
fn descendants_of_a_process_are_wanted_and_nobody_else() {
    let mut command = Command::new("sh");
    let script = "read x; sh -c 'sleep 60 & wait' & sleep 61";
    let mut root = Child::run(command.args(["-c", script]).process_group(0).stdin(Stdio::piped()));
    let other = Child::run(Command::new("sleep").arg("60"));
    let rig = Rig::start_family(root.pid(), OFTEN);
    rig.found(root.pid());
    root.say(b"go\n");
    let mut seen = 0;
    while seen < 2 {
        if let Event::Found(target) | Event::Renamed(target) = rig.next() {
            assert_ne!(target.process.key.pid, other.pid());
            seen += usize::from(target.process.exe.ends_with("sleep"));
        }
    }
}

#[test]
fn a_descendant_whose_parent_has_ended_is_known_by_the_forks_before() {
    let root = Child::run(Command::new("sleep").arg("60"));
    // It is no child of the root as far as /proc can tell.
    let orphan = Child::run(Command::new("sleep").arg("60"));
    let rig = Rig::start_family(root.pid(), NEVER);
    rig.found(root.pid());
    let between = ProcessKey::new(4_000_001, 10_000_000);
    rig.tell(between, LifeEvent::Fork { parent: root.pid() });
    rig.tell(key(orphan.pid()), LifeEvent::Fork { parent: between.pid });
    rig.tell(between, LifeEvent::Exit);
    rig.tell(key(orphan.pid()), LifeEvent::Exec { program: TaskName::default() });
    assert_eq!(rig.renamed(orphan.pid()).process.ppid, std::process::id());
}

#[test]
fn a_burst_of_short_lived_processes_leaves_nothing_behind() {
    let settings = RootSettings { open_port: "1".parse().unwrap(), ..Rig::exe("/no such$") };
    let rig = Rig::start(&settings, OFTEN);
    rig::eventually(|| (rig.counter("processes") > 0).then_some(()));
    let before = rig.counter("processes");
    let ours = key(std::process::id());
    for _ in 0..2000 {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let key = key(child.id());
        rig.tell(key, LifeEvent::Fork { parent: ours.pid });
        rig.tell(key, LifeEvent::Exec { program: TaskName::default() });
        child.wait().unwrap();
        rig.tell(key, LifeEvent::Exit);
    }
    rig.balanced(6000);
    // Other tests run processes of their own meanwhile.
    rig::eventually(|| (rig.counter("processes") < before + 50).then_some(()));
    assert_eq!(rig.counter("targets"), 0);
    assert!(rig.silent(Duration::from_millis(1)));
}

#[test]
fn listings_grow_rare_when_events_tell_everything_and_still_find_what_they_do_not() {
    let port = free_port();
    let rig = Rig::start(&Rig::port(port), OFTEN);
    rig::eventually(|| (rig.counter("listings") > 20).then_some(()));
    rig.tell(ProcessKey::new(4_000_002, 10_000_000), LifeEvent::Exit);
    rig.balanced(1);
    let before = rig.counter("listings");
    assert!(rig.silent(Duration::from_secs(2)));
    // Without events there would be a hundred.
    let listings = rig.counter("listings") - before;
    assert!((2..20).contains(&listings), "{listings}");
    let server = python_server(port, &[]);
    rig.found(server.pid());
}

#[test]
fn what_descendants_were_called_is_told_to_the_end_though_they_have_ended() {
    let root = Child::run(Command::new("sleep").arg("60"));
    let rig = Rig::start_family(root.pid(), NEVER);
    rig.found(root.pid());
    let gone = ProcessKey::new(4_000_003, 10_000_000);
    rig.tell(gone, LifeEvent::Fork { parent: root.pid() });
    rig.tell(gone, LifeEvent::Exec { program: TaskName::new(*b"curl\0x\0\0\0\0\0\0\0\0\0\0") });
    rig.tell(gone, LifeEvent::Exit);
    let events = rig.end();
    let [Event::Found(forked), Event::Renamed(ran), Event::Gone(key)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&*forked.service.name, &*ran.service.name, *key), ("sleep", "curl", gone));
    assert_eq!(ran.process.exe, Path::new("curl"));
}

#[test]
fn a_program_whose_file_is_gone_keeps_its_name() {
    let dir = TempDir::new().unwrap();
    let exe = dir.path().join("shop-server");
    rig::copy(Path::new("/bin/sleep"), &exe);
    let child = Child::run(Command::new(&exe).arg("60"));
    fs::remove_file(&exe).unwrap();
    let rig = Rig::start(&Rig::exe("shop-server$"), NEVER);
    let target = rig.found(child.pid());
    assert_eq!(target.process.exe, exe);
    assert_eq!(target.process.language, Language::Cpp);
}

/// Waits until a process that runs `command` is taken for `language`. Programs may be started by scripts, and
/// runtimes may be loaded as libraries: other languages may be seen before.
fn turns_out(command: &mut Command, language: Language) {
    let child = Child::run(command);
    let rig = Rig::start_family(child.pid(), OFTEN);
    loop {
        match rig.next() {
            Event::Found(target) | Event::Renamed(target) => {
                if target.process.language == language {
                    assert_eq!(target.service.language, language);
                    return;
                }
            }
            Event::Gone(key) => assert_ne!(key.pid, child.pid()),
        }
    }
}

fn built(dir: &Path, source: (&str, &str), compiler: &str, args: &[&str]) -> Command {
    fs::write(dir.join(source.0), source.1).unwrap();
    let status = Command::new(compiler)
        .args(args)
        .arg(source.0)
        .current_dir(dir)
        .env("GOCACHE", dir.join("cache"))
        .status();
    let built = status.is_ok_and(|status| status.success());
    assert!(built, "{compiler} {args:?}: failed, or not there: scripts/install check");
    Command::new(dir.join("prog"))
}

#[test]
fn the_language_of_compiled_programs_is_known() {
    let dir = TempDir::new().unwrap();
    let c = "#include <unistd.h>\nint main(void) { sleep(60); }\n";
    let go = "package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(time.Minute) }\n";
    let rust = "fn main() { std::thread::sleep(std::time::Duration::from_secs(60)) }\n";
    for (source, compiler, args, expected) in [
        (("a.c", c), "cc", &["-o", "prog"][..], Language::Cpp),
        (("a.c", c), "cc", &["-s", "-static", "-o", "prog"], Language::Cpp),
        (("a.go", go), "go", &["build", "-ldflags=-s -w", "-o", "prog"], Language::Go),
        (("a.rs", rust), "rustc", &["-o", "prog"], Language::Rust),
        (("a.rs", rust), "rustc", &["-C", "strip=symbols", "-O", "-o", "prog"], Language::Rust),
    ] {
        turns_out(&mut built(dir.path(), source, compiler, args), expected);
    }
}

#[test]
fn the_language_of_interpreted_programs_is_known() {
    let dir = TempDir::new().unwrap();
    let java = "class Main { public static void main(String[] a) throws Exception { Thread.sleep(60000); } }";
    fs::write(dir.path().join("Main.java"), java).unwrap();
    for (program, args, expected) in [
        ("python3", &["-c", "import time; time.sleep(60)"][..], Language::Python),
        ("node", &["-e", "setTimeout(() => {}, 60000)"], Language::Nodejs),
        ("java", &["Main.java"], Language::Java),
        ("ruby", &["-e", "sleep 60"], Language::Ruby),
        ("php", &["-r", "sleep(60);"], Language::Php),
    ] {
        let mut command = Command::new(program);
        turns_out(command.args(args).current_dir(dir.path()), expected);
    }
}

#[test]
fn a_runtime_under_another_name_is_known_by_what_it_is() {
    let dir = TempDir::new().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let node = std::env::split_paths(&path).map(|dir| dir.join("node")).find(|p| p.exists());
    let node = node.expect("there is no node; see scripts/install check");
    let exe = dir.path().join("shop");
    rig::copy(&node, &exe);
    let mut command = Command::new(&exe);
    turns_out(command.args(["-e", "setTimeout(() => {}, 60000)"]), Language::Nodejs);
}
