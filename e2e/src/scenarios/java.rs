// SPDX-License-Identifier: Apache-2.0
//! The agent for Java programs: who gets it, who does not, and that nobody is hurt.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::apps::find;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene};
use crate::scrape::sum_of;
use crate::truth::{self, AGENT, JVM_ANSWER, Score};
use crate::until::until;
use crate::vor::Settings;
use crate::web::{Origin, Talk};

const NEEDS: &[&str] = &["java", "truth-java/Server.class"];
const CLIENTS: usize = 4;
/// Requests whose calls must be linked.
const CASES: usize = 20;
/// Requests after the agent was loaded.
const LATER: usize = 100;
const REFUSED: &str = "agents/refused";
/// What a JVM lists of its threads when SIGQUIT asks for nothing else.
const LISTING: &str = "Full thread dump";

pub(super) fn list() -> Vec<Scenario> {
    let of = |name: &str, act: fn(&mut Scene<'_>) -> Result<Expected>| {
        Scenario::new(name, act).needs(NEEDS)
    };
    vec![
        of("java-agent-under-load", under_load),
        of("java-agent-forbidden", forbidden),
        of("java-agent-without-signals", without_signals),
        of("java-agent-deaf", deaf).needs(&["java", "python3"]),
        of("java-agent-twice", twice),
        of("java-agent-user", user).needs(&[
            "java",
            "truth-java/Server.class",
            "setpriv",
            "unshare",
        ]),
    ]
}

/// A server in Java whose pool calls `origin` for each request, started by `before` with `options`.
struct Server {
    actor: Actor,
    port: u16,
    _origin: Origin,
}

fn serve(scene: &mut Scene<'_>, before: &[&str], options: &[&str]) -> Result<Server> {
    let origin = Origin::start()?;
    let port = ports::free()?;
    let java = find("java").context("java is not installed")?;
    let mut command = match before.split_first() {
        Some((first, others)) => {
            let mut command = Command::new(first);
            command.args(others).arg(java);
            command
        }
        None => Command::new(java),
    };
    command.args(options).arg("-cp").arg(scene.world.apps.path("truth-java"));
    command.args(["Server", "pool", &port.to_string(), &origin.port.to_string()]);
    Ok(Server { actor: scene.serve(command, port)?, port, _origin: origin })
}

fn settings(port: u16) -> Settings {
    Settings::port(port).with(AGENT, true)
}

/// Observes a server and waits until it has the agent.
fn instrument(scene: &mut Scene<'_>, server: &Server) -> Result<()> {
    scene.observe(&settings(server.port), &[server.actor.pid])?;
    truth::instrumented(scene)
}

/// Waits until vor has given a JVM up for this reason.
fn refused(scene: &mut Scene<'_>, why: &str) -> Result<()> {
    let limit = scene.limit();
    let vor = scene.vor()?;
    until("a JVM is given up", limit, || {
        Ok(sum_of(&vor.own_metrics()?, "vor_stage_lost_total", &[REFUSED]) >= 1.0)
    })?;
    let said = vor.log()?;
    ensure!(said.contains(why), "{said}");
    Ok(())
}

/// Files of agents that a process has mapped, by their names in its root.
fn mapped(pid: u32) -> Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let paths = maps.lines().filter_map(|line| line.get(line.find('/')?..));
    let agents = paths.filter(|path| path.contains("/.vor-java-"));
    Ok(agents.map(|path| PathBuf::from(path.trim_end_matches(" (deleted)"))).collect())
}

/// It has one agent, and nothing of it is left in its folders.
fn has_one(pid: u32) -> Result<()> {
    let agents = mapped(pid)?;
    ensure!(agents.len() == 1, "{agents:?} are in the process");
    let process = PathBuf::from(format!("/proc/{pid}"));
    let file = agents.iter().filter_map(|agent| agent.strip_prefix("/").ok());
    let trigger = format!(".attach_pid{pid}");
    let files = file.map(|file| process.join("root").join(file));
    for left in files.chain(["root/tmp", "cwd"].map(|folder| process.join(folder).join(&trigger))) {
        ensure!(!left.exists(), "{} is left", left.display());
    }
    Ok(())
}

/// It is as it was: it has no agent, and has not listed its threads.
fn is_unharmed(scene: &mut Scene<'_>, actor: Actor) -> Result<()> {
    ensure!(mapped(actor.pid)?.is_empty(), "it has an agent");
    is_quiet(scene, actor)
}

/// It was sent no signal that it did not understand.
fn is_quiet(scene: &mut Scene<'_>, actor: Actor) -> Result<()> {
    let program = scene.program(actor)?;
    if let Some(status) = program.ended()? {
        return Err(anyhow!("it ended: {status}"));
    }
    ensure!(!program.stdout()?.contains(LISTING), "it listed its threads");
    Ok(())
}

fn ask(port: u16, requests: usize) -> Result<Expected> {
    let mut talk = Talk::to(port)?;
    for n in 0..requests {
        let answer = talk.get(&format!("/case/{n}"))?;
        ensure!(answer.status == 200, "answered with {}", answer.status);
    }
    Ok(Expected::both(requests, requests))
}

/// While clients ask without a pause, no request fails.
fn under_load(scene: &mut Scene<'_>) -> Result<Expected> {
    let server = serve(scene, &[], &[])?;
    scene.observe(&settings(server.port), &[server.actor.pid])?;
    let (enough, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = || -> Result<()> {
        let mut talk = Talk::to(server.port)?;
        while !enough.load(Ordering::Relaxed) {
            let n = asked.fetch_add(1, Ordering::Relaxed);
            let answer = talk.get(&format!("/case/{n}"))?;
            ensure!(answer.status == 200, "answered with {}", answer.status);
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let crew: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let loaded = truth::instrumented(scene).and_then(|()| {
            let before = asked.load(Ordering::Relaxed);
            let later = || asked.load(Ordering::Relaxed) - before;
            until("further requests", scene.limit(), || Ok(later() >= LATER))
        });
        enough.store(true, Ordering::Relaxed);
        let mut done = crew.into_iter();
        done.try_for_each(|one| one.join().map_err(|_| anyhow!("a client panicked"))?)?;
        loaded
    })?;
    has_one(server.actor.pid)?;
    is_quiet(scene, server.actor)?;
    let asked = asked.into_inner();
    Ok(Expected::both(asked, asked).losing(&[JVM_ANSWER]))
}

/// A JVM whose arguments forbid agents gets no signal.
fn forbidden(scene: &mut Scene<'_>) -> Result<Expected> {
    let server = serve(scene, &[], &["-Xrs", "-XX:+DisableAttachMechanism"])?;
    scene.observe(&settings(server.port), &[server.actor.pid])?;
    refused(scene, "its arguments forbid it (+DisableAttachMechanism)")?;
    is_unharmed(scene, server.actor)?;
    Ok(ask(server.port, 2)?.losing(&[REFUSED]))
}

/// A JVM that leaves signals alone takes requests from its start: it needs none.
fn without_signals(scene: &mut Scene<'_>) -> Result<Expected> {
    let server = serve(scene, &[], &["-Xrs"])?;
    instrument(scene, &server)?;
    has_one(server.actor.pid)?;
    is_quiet(scene, server.actor)?;
    Ok(ask(server.port, 2)?.losing(&[JVM_ANSWER]))
}

/// A program with the library of a JVM and no JVM would be ended by the signal.
fn deaf(scene: &mut Scene<'_>) -> Result<Expected> {
    let java = fs::canonicalize(find("java").context("java is not installed")?)?;
    let home = java.parent().and_then(Path::parent).context("java has no home")?;
    let port = ports::free()?;
    let mut command = scene.world.apps.python("python/server.py")?;
    command.arg(port.to_string()).env("LD_PRELOAD", home.join("lib/server/libjvm.so"));
    let server = scene.serve(command, port)?;
    let settings = settings(port).with("VOR_JAVAAGENT_ATTACH_TIMEOUT", "500ms");
    scene.observe(&settings, &[server.pid])?;
    refused(scene, "it does not handle SIGQUIT")?;
    is_unharmed(scene, server)?;
    let answer = Talk::to(port)?.get("/plain")?;
    ensure!(answer.status == 200, "answered with {}", answer.status);
    Ok(Expected::server(1).losing(&[REFUSED]))
}

/// The next vor finds the agent where the last one left it, and uses it.
fn twice(scene: &mut Scene<'_>) -> Result<Expected> {
    let server = serve(scene, &[], &[])?;
    instrument(scene, &server)?;
    let first = mapped(server.actor.pid)?;
    scene.dismiss(&[JVM_ANSWER])?;
    scene.observe(&settings(server.port), &[server.actor.pid])?;
    truth::understood(scene, 1)?;
    scene.probed(truth::JAVA_FILES)?;
    let asked = sum_of(&scene.vor()?.own_metrics()?, "vor_stage_in_total", &["agents"]);
    ensure!(asked < 0.5, "it was asked again");
    ensure!(mapped(server.actor.pid)? == first, "there is another agent");
    has_one(server.actor.pid)?;
    let expected = ask(server.port, CASES)?;
    let score = Score::of(&scene.spans(2 * CASES)?, CASES);
    ensure!(score.right == CASES, "{score:?}");
    Ok(expected)
}

/// A JVM of another user with file systems of its own.
fn user(scene: &mut Scene<'_>) -> Result<Expected> {
    let enter =
        "mount -t tmpfs none /tmp && exec setpriv --reuid 4242 --regid 4243 --clear-groups \"$@\"";
    let before = ["unshare", "--mount", "sh", "-c", enter, "sh"];
    let server = serve(scene, &before, &[])?;
    instrument(scene, &server)?;
    has_one(server.actor.pid)?;
    is_quiet(scene, server.actor)?;
    Ok(ask(server.port, 2)?.losing(&[JVM_ANSWER]))
}
