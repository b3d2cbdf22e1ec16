// SPDX-License-Identifier: Apache-2.0
//! One request, one trace: each call below the request it was made for, each end of a call below the other.
//!
//! The path names the request, independently of vor: whatever has the same path belongs together.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::collector::Span;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene};
use crate::shop;
use crate::truth;
use crate::until::until;
use crate::vor::Settings;
use crate::web::{self, Talk};

/// Requests of one client.
pub(super) const REQUESTS: usize = 5;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("trace-threads", |scene| threads(scene, 8)).needs(&["python3"]),
        Scenario::new("trace-threads-smoke", |scene| threads(scene, 2)).needs(&["python3"]).smoke(),
        Scenario::new("trace-nginx", nginx).needs(&["nginx", "python3"]).smoke(),
        Scenario::new("trace-namespaces", namespaces).needs(&["ip", "python3"]),
        Scenario::new("trace-tree", tree).needs(&["curl", "python3"]),
    ]
}

/// A front server on a port of its own, which calls `after`.
pub(super) fn front(scene: &mut Scene<'_>, after: u16) -> Result<(Actor, u16)> {
    let port = ports::free()?;
    let mut command = scene.world.apps.python("python/front.py")?;
    command.args([port.to_string(), after.to_string()]);
    Ok((scene.serve(command, port)?, port))
}

pub(super) fn back(scene: &mut Scene<'_>) -> Result<(Actor, u16)> {
    let port = ports::free()?;
    let mut command = scene.world.apps.python("python/server.py")?;
    command.arg(port.to_string());
    Ok((scene.serve(command, port)?, port))
}

/// Each of `clients` asks for each path on a connection that it keeps, all at once.
pub(super) fn ask(port: u16, clients: usize, patterns: &[&str]) -> Result<()> {
    let one = |client: usize| -> Result<()> {
        let mut talk = Talk::to(port)?;
        for pattern in patterns {
            for n in 0..REQUESTS {
                let answer = talk.get(&format!("/{pattern}/{client}/{n}"))?;
                ensure!(answer.status == 200, "{pattern} is answered with {}", answer.status);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let crew: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn({
                    let one = &one;
                    move || one(client)
                })
            })
            .collect();
        crew.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// The spans for one path in the order of the calls: each is the parent of the next. `depth` of them.
pub(super) fn chain<'a>(spans: &'a [Span], path: &str, depth: usize) -> Result<Vec<&'a Span>> {
    let named =
        |span: &&Span| span.attr("url.path") == path || span.attr("url.full").ends_with(path);
    let mut left: Vec<_> = spans.iter().filter(named).collect();
    ensure!(left.len() == depth, "{} spans for {path}, not {depth}", left.len());
    let ids: Vec<_> = left.iter().map(|span| span.id.clone()).collect();
    let first = left.iter().position(|span| !ids.contains(&span.parent));
    let mut chain = vec![left.swap_remove(first.context("a ring of parents")?)];
    while let Some(last) = chain.last()
        && !left.is_empty()
    {
        let next = left.iter().position(|span| span.parent == last.id && span.trace == last.trace);
        let next = next.with_context(|| format!("{path}: nothing below {last:#?} of {left:#?}"))?;
        chain.push(left.swap_remove(next));
    }
    Ok(chain)
}

pub(super) fn methods<'a>(chain: &[&'a Span]) -> Vec<&'a str> {
    chain.iter().map(|span| span.attr("vor.parent.method")).collect()
}

/// A front server whose threads call a second one, whose threads call a third.
fn threads(scene: &mut Scene<'_>, clients: usize) -> Result<Expected> {
    const PATTERNS: &[&str] = &["direct", "thread", "nested"];
    let (third, last) = back(scene)?;
    let (second, middle) = front(scene, last)?;
    let (first, entry) = front(scene, middle)?;
    let ports = format!("{entry},{middle},{last}");
    let settings = Settings::default().with("BEYLA_OPEN_PORT", ports);
    scene.observe(&settings, &[first.pid, second.pid, third.pid])?;
    ask(entry, clients, PATTERNS)?;
    let total = clients * REQUESTS * PATTERNS.len();
    let spans = scene.spans(5 * total)?;
    let mut traces = BTreeSet::new();
    for (pattern, call) in [("direct", "task"), ("thread", "ancestor"), ("nested", "ancestor")] {
        for path in (0..clients)
            .flat_map(|client| (0..REQUESTS).map(move |n| format!("/{pattern}/{client}/{n}")))
        {
            let chain = chain(&spans, &path, 5)?;
            let methods = methods(&chain);
            ensure!(
                methods == ["", call, "socket-pair", call, "socket-pair"],
                "{path}: {methods:?}"
            );
            traces.extend(chain.first().map(|root| root.trace.clone()));
        }
    }
    ensure!(traces.len() == total, "{} traces of {total} requests", traces.len());
    Ok(Expected::both(3 * total, 2 * total))
}

/// A caller's context passes a proxy, which passes the header on as it came, and a server that does the same.
fn nginx(scene: &mut Scene<'_>) -> Result<Expected> {
    let (third, last) = back(scene)?;
    let (second, middle) = front(scene, last)?;
    let entry = ports::free()?;
    let block = format!(
        "server {{ listen 127.0.0.1:{entry}; location / {{ proxy_pass http://127.0.0.1:{middle}; }} }}"
    );
    let command = shop::nginx(scene.dir(), &block)?;
    let master = scene.serve(command, entry)?;
    let mut pids = super::servers::children(scene, master.pid, 1)?;
    pids.extend([second.pid, third.pid]);
    let ports = format!("{entry},{middle},{last}");
    scene.observe(&Settings::default().with("BEYLA_OPEN_PORT", ports), &pids)?;
    truth::understood(scene, pids.len())?;
    let mut talk = Talk::to(entry)?;
    for n in 0..REQUESTS {
        let context = format!("TRACEPARENT: 00-{TRACE}-{SPAN}-01\r\n");
        talk.say(web::request("GET", &format!("/passed/{n}"), &context).as_bytes())?;
        ensure!(talk.hear(false)?.status == 200, "it is answered");
    }
    let spans = scene.spans(5 * REQUESTS)?;
    for n in 0..REQUESTS {
        let chain = chain(&spans, &format!("/passed/{n}"), 5)?;
        let root = chain.first().context("no root")?;
        ensure!((root.trace.as_str(), root.parent.as_str()) == (TRACE, SPAN), "{root:?}");
        let methods = methods(&chain);
        ensure!(methods == ["header", "task", "socket-pair", "task", "socket-pair"], "{methods:?}");
    }
    Ok(Expected::both(3 * REQUESTS, 2 * REQUESTS))
}

/// The server that is called lives in a network namespace of its own, behind a cable.
fn namespaces(scene: &mut Scene<'_>) -> Result<Expected> {
    let cable = Cable::new("t")?;
    let last = ports::free()?;
    let mut far = cable.on("python3");
    far.args(["-m", "http.server", "--bind", FAR]).arg(last.to_string()).current_dir(scene.dir());
    let far = scene.start(far)?;
    until("the far server listens", scene.limit(), || Ok(TcpStream::connect((FAR, last)).is_ok()))?;
    let entry = ports::free()?;
    let mut near = scene.world.apps.python("python/front.py")?;
    near.args([entry.to_string(), last.to_string(), FAR.to_owned()]);
    let near = scene.serve(near, entry)?;
    let settings = Settings::default().with("BEYLA_OPEN_PORT", format!("{entry},{last}"));
    scene.observe(&settings, &[near.pid, far.pid])?;
    ask(entry, 2, &["direct"])?;
    let spans = scene.spans(2 * 3 * REQUESTS)?;
    for (client, n) in (0..2).flat_map(|client| (0..REQUESTS).map(move |n| (client, n))) {
        let chain = chain(&spans, &format!("/direct/{client}/{n}"), 3)?;
        ensure!(methods(&chain) == ["", "task", "socket-pair"], "{chain:#?}");
    }
    Ok(Expected::both(2 * 2 * REQUESTS, 2 * REQUESTS))
}

/// The far end's address, and the near one's.
pub(super) const FAR: &str = "10.231.77.2";
const NEAR: &str = "10.231.77.1";

/// A namespace with one cable into ours; gone when dropped.
pub(super) struct Cable {
    space: String,
}

impl Cable {
    /// `tag` tells those of one run apart.
    pub(super) fn new(tag: &str) -> Result<Self> {
        let cable = Self { space: format!("vortr{tag}{}", std::process::id() % 10_000) };
        let (space, here) = (cable.space.as_str(), format!("{}a", cable.space));
        let there = format!("{space}b");
        ip(&["netns", "add", space])?;
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", space])?;
        ip(&["addr", "add", &format!("{NEAR}/30"), "dev", &here])?;
        ip(&["link", "set", &here, "up"])?;
        ip(&["-n", space, "addr", "add", &format!("{FAR}/30"), "dev", &there])?;
        ip(&["-n", space, "link", "set", &there, "up"])?;
        Ok(cable)
    }

    /// A command that runs at its far end.
    pub(super) fn on(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space, program]);
        command
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // What is left of a failed scenario is not worth a second failure. The cable goes before the namespace, which
        // lets go of its end some time later, when the next scenario may want the same names.
        let _ = ip(&["link", "del", &format!("{}a", self.space)]);
        let _ = ip(&["netns", "del", &self.space]);
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("running ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), said.trim());
    Ok(())
}

/// `vor exec --tree` prints the request of curl with all that it caused, level by level.
fn tree(scene: &mut Scene<'_>) -> Result<Expected> {
    let (entry, last) = (ports::free()?, ports::free()?);
    let shell = |command: &Command| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    let server = shell(&scene.world.apps.python("python/server.py")?);
    let front = shell(&scene.world.apps.python("python/front.py")?);
    let script = format!(
        "{server} {last} & back=$!; {front} {entry} {last} & front=$!; \
         curl -sS --retry 50 --retry-connrefused --retry-delay 1 http://127.0.0.1:{last}/ >/dev/null; \
         curl -sS --retry 50 --retry-connrefused --retry-delay 1 http://127.0.0.1:{entry}/nested/1; \
         kill $back $front"
    );
    let mut command = Settings::default().command(&scene.world.vor);
    if let Some(door) = scene.world.door {
        command.env("VOR_DOOR", door.as_str());
    }
    command.args(["exec", "--tree", "--", "sh", "-c", &script]);
    let actor = scene.start(command)?;
    let limit = scene.limit();
    let program = scene.program(actor)?;
    let status = program.wait(limit)?;
    let printed = program.stderr()?;
    ensure!(status.success(), "it ended with {status}: {printed}");
    let lines: Vec<_> = printed.lines().filter(|line| line.contains(" GET /nested/1 ")).collect();
    let levels: Vec<_> = lines.iter().map(|line| line.len() - line.trim_start().len()).collect();
    ensure!(levels == [2, 4, 6, 8], "the levels are {levels:?}:\n{printed}");
    let ends = ["]", "parent by socket-pair", "parent by ancestor", "parent by socket-pair"];
    let right = lines.iter().zip(ends).all(|(line, end)| line.ends_with(end));
    ensure!(right, "parents were found otherwise:\n{printed}");
    Ok(Expected::default())
}
