// SPDX-License-Identifier: Apache-2.0
//! Context on the wire: a vor that sees only the caller writes, another that sees only the other end reads.

use std::fs;
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use super::traces::{self, Cable, FAR};
use crate::collector::Span;
use crate::ports;
use crate::printed::Line;
use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::{Scene, exact};
use crate::until::until;
use crate::vor::{Settings, Vor};

const CLIENTS: usize = 2;
const MODE: &str = "BEYLA_BPF_CONTEXT_PROPAGATION";

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("wire-tcp", |scene| two_agents(scene, "tcp")).needs(&["python3"]).smoke(),
        Scenario::new("wire-tcp-namespaces", |scene| namespaces(scene, false))
            .needs(&["ip", "python3"]),
        Scenario::new("wire-tcp-nat", |scene| namespaces(scene, true))
            .needs(&["ip", "iptables", "python3"]),
        Scenario::new("wire-disabled", disabled).needs(&["python3"]),
    ]
}

/// A second vor, which sees `pid` only, that listens on `port`.
fn second(scene: &Scene<'_>, mode: &str, port: u16, pid: u32) -> Result<Vor> {
    let dir = scene.dir().join("second");
    fs::create_dir(&dir)?;
    let mut settings = Settings::port(port).with("BEYLA_TRACE_PRINTER", "text").with(MODE, mode);
    if let Some(door) = scene.world.door {
        settings = settings.with("VOR_DOOR", door.as_str());
    }
    let mut vor = Vor::start(&scene.world.vor, &settings, ports::free()?, &dir)?;
    until("the second vor serves its own metrics", scene.limit(), || {
        vor.runs()?;
        Ok(vor.own_metrics().is_ok())
    })?;
    vor.observes(pid, scene.limit())?;
    Ok(vor)
}

/// What the second vor printed, once it is so much.
fn printed(scene: &Scene<'_>, vor: &mut Vor, count: usize) -> Result<Vec<Line>> {
    until(format!("{count} spans of the second vor"), scene.limit(), || {
        vor.runs()?;
        Ok(vor.printed()?.len() >= count)
    })?;
    let lines = vor.printed()?;
    ensure!(lines.len() == count, "{} spans of the second vor, not {count}", lines.len());
    Ok(lines)
}

/// How often the kernel side of a vor counted `what` in `stage`.
fn counted(vor: &Vor, stage: &str, what: &str) -> Result<f64> {
    let page = vor.own_metrics()?;
    let of = |sample: &&crate::scrape::Sample| {
        sample.label("stage") == stage && sample.label("what") == what
    };
    Ok(page.iter().filter(of).map(|sample| sample.value).sum())
}

/// Waits until it counted exactly `count`: the kernel's counts are copied once a second.
fn until_counted(scene: &mut Scene<'_>, stage: &str, what: &str, count: usize) -> Result<()> {
    let limit = scene.limit();
    let vor = scene.vor()?;
    let mut seen = 0.0;
    until(format!("{count} of {what}"), limit, || {
        seen = counted(vor, stage, what)?;
        Ok(seen >= exact(count))
    })?;
    ensure!(seen <= exact(count), "{seen} of {what}, not {count}");
    Ok(())
}

/// Each server span of the second vor is below the call that the first one saw, in its trace.
fn ensure_below(calls: &[Span], lines: &[Line]) -> Result<()> {
    let calls = calls.iter().filter(|span| !span.server);
    for call in calls {
        let path = call.attr("url.full");
        let line = lines.iter().find(|line| path.ends_with(&line.object)).context("no span")?;
        let below = line.context.starts_with(&format!("00-{}-", call.trace))
            && line.context.contains(&format!("[{}]", call.id));
        ensure!(below, "{path}: {} is not below {call:?}", line.context);
    }
    Ok(())
}

/// Front and back on one host, each with a vor of its own.
fn two_agents(scene: &mut Scene<'_>, mode: &str) -> Result<Expected> {
    let (back, last) = traces::back(scene)?;
    let (front, entry) = traces::front(scene, last)?;
    let settings = Settings::port(entry).with(MODE, mode);
    scene.observe(&settings, &[front.pid])?;
    let mut other = second(scene, mode, last, back.pid)?;
    traces::ask(entry, CLIENTS, &["direct"])?;
    let calls = CLIENTS * traces::REQUESTS;
    let spans = scene.spans(2 * calls)?;
    ensure_below(&spans, &printed(scene, &mut other, calls)?)?;
    // Each call is on a connection of its own; what this program connected to is not vor's business.
    until_counted(scene, "wire_tcp", "wire.sockets", calls)?;
    until_counted(scene, "wire_tcp", "wire.written", calls)?;
    let strangers = counted(scene.vor()?, "wire_tcp", "wire.strangers")?;
    ensure!(strangers >= exact(CLIENTS), "{strangers} connections of others");
    other.stop(scene.world.patience)?;
    Ok(Expected::both(calls, calls))
}

/// The other end is in a network namespace of its own, behind a cable, and behind a port that is not its own when
/// addresses are translated; its vor sees nothing else.
fn namespaces(scene: &mut Scene<'_>, translated: bool) -> Result<Expected> {
    let cable = Cable::new("w")?;
    let last = ports::free()?;
    let mut far = cable.on("python3");
    far.args(["-m", "http.server", "--bind", FAR]).arg(last.to_string()).current_dir(scene.dir());
    let far = scene.start(far)?;
    until("the far server listens", scene.limit(), || Ok(TcpStream::connect((FAR, last)).is_ok()))?;
    let mut asked = last;
    if translated {
        asked = ports::free()?;
        let rule = "-t nat -A PREROUTING -p tcp -j REDIRECT --dport";
        let mut iptables = cable.on("iptables");
        iptables.args(rule.split(' ')).arg(asked.to_string());
        let said = iptables.args(["--to-ports", &last.to_string()]).output()?;
        if !said.status.success() {
            return Err(
                Skip(format!("no NAT here: {}", String::from_utf8_lossy(&said.stderr))).into()
            );
        }
    }
    let entry = ports::free()?;
    let mut near = scene.world.apps.python("python/front.py")?;
    near.args([entry.to_string(), asked.to_string(), FAR.to_owned()]);
    let near = scene.serve(near, entry)?;
    scene.observe(&Settings::port(entry).with(MODE, "tcp"), &[near.pid])?;
    let mut other = second(scene, "tcp", last, far.pid)?;
    traces::ask(entry, CLIENTS, &["direct"])?;
    let calls = CLIENTS * traces::REQUESTS;
    let spans = scene.spans(2 * calls)?;
    ensure_below(&spans, &printed(scene, &mut other, calls)?)?;
    other.stop(scene.world.patience)?;
    Ok(Expected::both(calls, calls))
}

/// What is not asked for is not done: nothing is written, whatever the other vor would read.
fn disabled(scene: &mut Scene<'_>) -> Result<Expected> {
    let (back, last) = traces::back(scene)?;
    let (front, entry) = traces::front(scene, last)?;
    scene.observe(&Settings::port(entry), &[front.pid])?;
    let mut other = second(scene, "tcp", last, back.pid)?;
    traces::ask(entry, CLIENTS, &["direct"])?;
    let calls = CLIENTS * traces::REQUESTS;
    let lines = printed(scene, &mut other, calls)?;
    ensure!(lines.iter().all(|line| line.context.contains("[0000000000000000]")), "{lines:?}");
    ensure!(counted(&other, "wire_tcp", "wire.heard")? == 0.0, "something was heard");
    let units = scene.vor()?.own_metrics()?;
    ensure!(!units.iter().any(|sample| sample.label("unit").starts_with("wire_")), "{units:?}");
    other.stop(scene.world.patience)?;
    Ok(Expected::both(calls, calls))
}
