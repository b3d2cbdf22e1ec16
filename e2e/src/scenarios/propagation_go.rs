// SPDX-License-Identifier: Apache-2.0
//! Context on the wire of Go programs, written into their own buffers.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::propagation::{MODE, OWN, header, printed_by, second};
use crate::ports;
use crate::printed::Line;
use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::{Actor, Scene};
use crate::until::until;

/// What a Go program speaks.
const WAYS: [&str; 6] = ["plain", "tls1", "tls2", "xnet", "h2c", "grpc"];
/// Those whose buffer a head may fill.
const SMALL: [&str; 5] = ["plain", "tls1", "tls2", "xnet", "h2c"];

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("wire-go", golang).smoke(),
        Scenario::new("wire-go-all", owners).needs(&["python3"]),
    ]
}

/// What a client says of a request.
#[derive(Debug)]
struct Heard {
    way: &'static str,
    path: String,
    expected: String,
    value: String,
}

impl Heard {
    fn read(way: &'static str, line: &str) -> Option<Self> {
        let mut words = line.split(' ').map(str::to_owned);
        let (path, expected, value) = (words.next()?, words.next()?, words.next()?);
        Some(Self { way, path, expected, value })
    }

    /// Whether it is what was expected, where the kernel has `refused` the unit or has not.
    fn is_right(&self, refused: bool) -> bool {
        let said = !self.value.is_empty();
        match &*self.expected {
            "own" => self.value == OWN,
            // The first request in clear text gets its header on its way.
            "place" if refused => self.way == "plain" || !said,
            "place" => said,
            _ => true,
        }
    }
}

/// What a Go program asks in many ways, by HTTP/1, HTTPS, HTTP/2 (of net/http and of x/net) and gRPC: each request says once where the printed call is,
/// or what it says by itself, and arrives otherwise as it was sent. Where the kernel forbids to write into programs, vor
/// says so, and only requests of HTTP/1 in clear text do not leave as they are.
fn golang(scene: &mut Scene<'_>) -> Result<Expected> {
    there(scene)?;
    let mut clients = Vec::new();
    let mut pids = Vec::new();
    for way in WAYS {
        let (server, client) = pair(scene, way)?;
        pids.extend([server.pid, client.pid]);
        clients.push((way, client));
    }
    let settings = scene.executable("/wire$")?.with(MODE, "headers");
    scene.observe_printed(&settings, &pids)?;
    scene.probed(1)?;
    let refused = is_refused(scene)?;
    let mut heard = Vec::new();
    for (way, client) in clients {
        scene.go(client)?;
        let said = scene.program(client)?.stdout()?;
        heard.extend(said.lines().filter_map(|line| Heard::read(way, line)));
    }
    ensure!(heard.len() > 200, "only {} requests", heard.len());
    let wrong = heard.iter().find(|line| !line.is_right(refused));
    ensure!(wrong.is_none(), "heard {wrong:?}");
    // Of heads at the end of the buffer, some have room.
    for way in SMALL.into_iter().filter(|_| !refused) {
        let edge = heard.iter().filter(|line| line.way == way && line.path.starts_with("/edge/"));
        let (with, without): (Vec<_>, Vec<_>) = edge.partition(|line| !line.value.is_empty());
        ensure!(!with.is_empty() && !without.is_empty(), "{way}: no edge of the buffer was met");
    }
    let written = heard.iter().filter(|line| !line.value.is_empty() && line.value != OWN);
    let written: Vec<_> = written.map(|line| (line.path.clone(), line.value.clone())).collect();
    until("each header's call is printed", scene.limit(), || {
        let printed = scene.vor()?.printed()?;
        let calls = printed.into_iter().filter(|line| !line.is_server());
        let places: HashSet<_> =
            calls.filter_map(|line| Some((line.object, header(&line.context)?))).collect();
        Ok(written.iter().all(|place| places.contains(place)))
    })?;
    scene.dismiss(&LOSSES)?;
    Ok(Expected::default())
}

/// A Go program asks another by HTTPS in mode `all`, each with a vor of its own: each call is told once, by a header where
/// that can be written or the program has one, and otherwise by an option; and the other end is below it.
fn owners(scene: &mut Scene<'_>) -> Result<Expected> {
    there(scene)?;
    let port = ports::free()?;
    let text = port.to_string();
    let mut serve = scene.world.apps.program("wire");
    serve.args(["serve", &text, "tls1"]);
    let server = scene.serve(serve, port)?;
    let copy = scene.dir().join("caller");
    fs::copy(scene.world.apps.path("wire"), &copy)?;
    let mut ask = Command::new(copy);
    ask.args(["ask", &text, "tls1", "4"]);
    let client = scene.start(ask)?;
    let settings = scene.executable("/caller$")?.with(MODE, "all");
    scene.observe_printed(&settings, &[client.pid])?;
    scene.probed(1)?;
    let mut other = second(scene, "all", port, server.pid)?;
    other.probed(1, scene.limit())?;
    let listener = listen(scene, port)?;
    scene.go(client)?;
    let said = scene.program(client)?.stdout()?;
    let heard: Vec<_> = said.lines().filter_map(|line| Heard::read("tls1", line)).collect();
    scene.printed(heard.len())?;
    let options = scene.program(listener)?.stdout()?;
    let (calls, answers) = (scene.vor()?.printed()?, printed_by(scene, &mut other, heard.len())?);
    for request in &heard {
        let of = |lines: &[Line]| {
            lines.iter().find(|line| line.object == request.path).map(|line| line.context.clone())
        };
        let call = of(&calls).and_then(|context| header(&context)).context("no call")?;
        let above = if request.expected == "own" { OWN } else { &call };
        let below = of(&answers).is_some_and(|context| is_below(&context, above));
        // Where a header is behind 1,536 bytes of a head, vor does not see it.
        let far = request.path.starts_with("/edge/") && !request.value.is_empty();
        ensure!(below || far, "{request:?}: {:?} is not below {above}", of(&answers));
        let span = call.split('-').nth(2).unwrap_or_default();
        let by_option = options.lines().any(|line| line.ends_with(span));
        ensure!(by_option == request.value.is_empty(), "{request:?}: by an option {by_option}");
    }
    other.stop(scene.world.patience)?;
    scene.dismiss(&LOSSES)?;
    Ok(Expected::default())
}

/// A program that prints which options of calls to `port` pass.
fn listen(scene: &mut Scene<'_>, port: u16) -> Result<Actor> {
    let mut command = scene.world.apps.python("python/options.py")?;
    command.arg(port.to_string());
    let listener = scene.start(command)?;
    until("somebody listens to options", scene.limit(), || {
        Ok(scene.program(listener)?.stdout()?.contains("ready"))
    })?;
    Ok(listener)
}

/// Whether a printed call's place is below what a header says.
fn is_below(context: &str, header: &str) -> bool {
    let mut words = header.split('-').skip(1);
    let (trace, span) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    context.starts_with(&format!("00-{trace}-")) && context.contains(&format!("[{span}]"))
}

/// Connections that were open before the probes were there, and two at work on one at the same moment.
const LOSSES: [&str; 4] =
    ["assemble/unclaimed", "socket/conn_busy", "go_http/conn_busy", "go_grpc/conn_busy"];

/// Skips where the programs are not there.
fn there(scene: &Scene<'_>) -> Result<()> {
    if scene.world.apps.has("wire") {
        return Ok(());
    }
    Err(Skip("Go, or the modules of the program `wire`, are not there".into()).into())
}

/// A server, and a client that waits for its sign.
fn pair(scene: &mut Scene<'_>, way: &str) -> Result<(Actor, Actor)> {
    let port = ports::free()?;
    let text = port.to_string();
    let mut serve = scene.world.apps.program("wire");
    serve.args(["serve", &text, way]);
    let mut ask = scene.world.apps.program("wire");
    ask.args(["ask", &text, way, "4"]);
    Ok((scene.serve(serve, port)?, scene.start(ask)?))
}

/// Whether the kernel forbids to write into programs; then vor has said so.
fn is_refused(scene: &mut Scene<'_>) -> Result<bool> {
    let vor = scene.vor()?;
    let units = vor.own_metrics()?;
    let unit = units.iter().find(|sample| sample.label("unit") == "go_write");
    let refused = unit.context("go_write is not there")?.label("state") == "failed";
    ensure!(!refused || vor.log()?.contains("lockdown"), "the reason is not said");
    Ok(refused)
}
