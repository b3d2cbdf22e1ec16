// SPDX-License-Identifier: Apache-2.0
//! Context on the wire of Go programs, written into their own buffers.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use super::propagation::{MODE, OWN, header};
use crate::ports;
use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::{Actor, Scene};
use crate::until::until;

/// What a Go program speaks.
const WAYS: [&str; 4] = ["plain", "tls1", "tls2", "grpc"];
/// Those whose buffer a head may fill.
const SMALL: [&str; 3] = ["plain", "tls1", "tls2"];

pub(super) fn list() -> Vec<Scenario> {
    vec![Scenario::new("wire-go", golang).smoke()]
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

/// What a Go program asks in many ways, by HTTP/1, HTTPS, HTTP/2 and gRPC: each request says once where the printed call is,
/// or what it says by itself, and arrives otherwise as it was sent. Where the kernel forbids to write into programs, vor
/// says so, and only requests of HTTP/1 in clear text do not leave as they are.
fn golang(scene: &mut Scene<'_>) -> Result<Expected> {
    if !scene.world.apps.has("wire") {
        let why = "Go, or the modules of the program `wire`, are not there";
        return Err(Skip(why.into()).into());
    }
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

/// Connections that were open before the probes were there, and two at work on one at the same moment.
const LOSSES: [&str; 4] =
    ["assemble/unclaimed", "socket/conn_busy", "go_http/conn_busy", "go_grpc/conn_busy"];

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
