// SPDX-License-Identifier: Apache-2.0
//! Observed clients of a server that is not: one client span per request.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::web::Origin;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("curl-client", curl).needs(&["curl"]).smoke(),
        Scenario::new("python-threads-client", python_threads).needs(&["python3"]).smoke(),
        Scenario::new("node-client", node).needs(&["node"]),
        Scenario::new("go-client", go).needs(&["web"]).smoke(),
    ]
}

/// Starts `command`, observes it by `executable`, gives it its sign, and checks that it asked `count` times.
fn client(
    scene: &mut Scene<'_>,
    command: Command,
    executable: &str,
    origin: &Origin,
    count: usize,
) -> Result<Expected> {
    let actor = scene.start(command)?;
    let settings = scene.executable(executable)?;
    scene.observe(&settings, &[actor.pid])?;
    scene.go(actor)?;
    ensure!(origin.answered() == count, "the server answered {} times", origin.answered());
    Ok(Expected::client(count))
}

fn curl(scene: &mut Scene<'_>) -> Result<Expected> {
    let origin = Origin::start()?;
    // curl reads what to do from standard input, so vor can meet it before it does anything.
    let mut command = Command::new("curl");
    command.args(["-sS", "-K", "-"]);
    let actor = scene.start(command)?;
    let settings = scene.executable("/curl$")?;
    scene.observe(&settings, &[actor.pid])?;
    let at = format!("http://127.0.0.1:{}", origin.port);
    let limit = scene.limit();
    let program = scene.program(actor)?;
    program
        .tell(&format!("url = {at}/first?secret=1\nurl = {at}/status/503\nurl = {at}/third\n"))?;
    program.succeed(limit)?;
    let spans = scene.spans(3)?;
    let url = spans.first().context("no span")?.attr("url.full");
    ensure!(url == format!("{at}/first"), "the URL is {url:?}");
    let failed = spans.iter().find(|span| span.attr("http.response.status_code") == "503");
    ensure!(failed.context("no span with 503")?.status == 2, "503 is an error of a client");
    Ok(Expected::client(3))
}

fn python_threads(scene: &mut Scene<'_>) -> Result<Expected> {
    let origin = Origin::start()?;
    let mut command = scene.world.apps.python("python/threads.py")?;
    command.args([origin.port.to_string().as_str(), "8", "25"]);
    client(scene, command, "/python3", &origin, 200)
}

fn node(scene: &mut Scene<'_>) -> Result<Expected> {
    let origin = Origin::start()?;
    let mut command = scene.world.apps.node("node/client.js")?;
    command.args([origin.port.to_string().as_str(), "20"]);
    client(scene, command, "/node$", &origin, 20)
}

fn go(scene: &mut Scene<'_>) -> Result<Expected> {
    let origin = Origin::start()?;
    let mut command = scene.world.apps.program("web");
    command.args(["client", &origin.port.to_string(), "20"]);
    client(scene, command, "/web$", &origin, 20)
}
