// SPDX-License-Identifier: Apache-2.0
//! Calls that do not end where their request does, what lies between two services, and programs that
//! OpenTelemetry's SDK has made part of a trace already.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::traces::{Cable, FAR, REQUESTS, ask, back, chain, front, methods};
use crate::apps::python;
use crate::collector::Span;
use crate::ports;
use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::{Actor, Scene};
use crate::until::until;
use crate::vor::Settings;

/// Clients at once.
const CLIENTS: usize = 4;
/// Where `scripts/install test` puts the SDK.
const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/vm/opentelemetry");

pub(super) fn list() -> Vec<Scenario> {
    let of = |name: &'static str, check: Check| {
        Scenario::new(format!("late-{name}"), move |scene| late(scene, &check)).needs(&["python3"])
    };
    vec![
        of("background", Check { pattern: "background", calls: 1, linked: false }),
        of("started", Check { pattern: "started", calls: 1, linked: true }),
        of("stream", Check { pattern: "stream", calls: 2, linked: true }),
        of("pool", Check { pattern: "pool", calls: 1, linked: true }),
        of("retry", Check { pattern: "retry", calls: 2, linked: true }),
        Scenario::new("between-haproxy", haproxy).needs(&["haproxy", "python3"]),
        Scenario::new("between-nat", nat).needs(&["ip", "iptables", "python3"]),
        Scenario::new("between-sdk", sdk).needs(&["python3"]),
    ]
}

/// What becomes of the calls of a request to `/PATTERN/…`.
struct Check {
    pattern: &'static str,
    /// For each request.
    calls: usize,
    /// Whether they are its children, or begin traces of their own.
    linked: bool,
}

/// `python/late.py` under several clients at once.
fn late(scene: &mut Scene<'_>, check: &Check) -> Result<Expected> {
    let (last, after) = back(scene)?;
    let port = ports::free()?;
    let mut command = scene.world.apps.python("python/late.py")?;
    command.args([port.to_string(), after.to_string()]);
    let server = scene.serve(command, port)?;
    let settings = Settings::default().with("BEYLA_OPEN_PORT", format!("{port},{after}"));
    scene.observe(&settings, &[server.pid, last.pid])?;
    ask(port, CLIENTS, std::slice::from_ref(&check.pattern))?;
    let total = CLIENTS * REQUESTS;
    let (servers, clients) = (total * (1 + check.calls), total * check.calls);
    let spans = scene.spans(servers + clients)?;
    for client in 0..CLIENTS {
        for n in 0..REQUESTS {
            let path = format!("/{}/{client}/{n}", check.pattern);
            let request = spans.iter().find(|span| {
                span.server && span.attr("url.path") == path && span.parent.is_empty()
            });
            let calls: Vec<_> = spans
                .iter()
                .filter(|span| !span.server && span.attr("url.full").contains(&path))
                .collect();
            let request = request.with_context(|| format!("no request of {path}"))?;
            ensure!(calls.len() == check.calls, "{} calls of {path}", calls.len());
            ensure!(calls.iter().all(|call| check.holds(request, call)), "{request:#?}{calls:#?}");
        }
    }
    Ok(Expected::both(servers, clients))
}

impl Check {
    fn holds(&self, request: &Span, call: &Span) -> bool {
        if self.linked {
            call.parent == request.id && call.trace == request.trace
        } else {
            call.parent.is_empty() && call.trace != request.trace
        }
    }
}

/// haproxy stands between the client and the first server: a loop in several threads, whose code nobody reads.
fn haproxy(scene: &mut Scene<'_>) -> Result<Expected> {
    let (last, after) = back(scene)?;
    let (first, middle) = front(scene, after)?;
    let entry = ports::free()?;
    let conf = scene.dir().join("haproxy.cfg");
    fs::write(
        &conf,
        format!(
            "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 60s\n\
             frontend entry\n bind 127.0.0.1:{entry}\n default_backend middle\n\
             backend middle\n server one 127.0.0.1:{middle}\n"
        ),
    )?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(conf);
    let proxy = scene.serve(command, entry)?;
    let ports = format!("{entry},{middle},{after}");
    let settings = Settings::default().with("BEYLA_OPEN_PORT", ports);
    scene.observe(&settings, &[proxy.pid, first.pid, last.pid])?;
    ask(entry, 1, &["direct"])?;
    let spans = scene.spans(5 * REQUESTS)?;
    for n in 0..REQUESTS {
        let chain = chain(&spans, &format!("/direct/0/{n}"), 5)?;
        let found = methods(&chain);
        ensure!(found == ["", "only-candidate", "socket-pair", "task", "socket-pair"], "{found:?}");
    }
    Ok(Expected::both(3 * REQUESTS, 2 * REQUESTS))
}

/// The server that is called is behind address translation: the caller knows it by another port.
fn nat(scene: &mut Scene<'_>) -> Result<Expected> {
    let cable = Cable::new("n")?;
    let (last, known) = (ports::free()?, ports::free()?);
    let mut rule = cable.on("iptables");
    rule.args(["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", &known.to_string()]);
    rule.args(["-j", "REDIRECT", "--to-ports", &last.to_string()]);
    let said = rule.output().context("running iptables")?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        return Err(Skip(format!("no address translation here: {why}")).into());
    }
    let mut far = cable.on("python3");
    far.args(["-m", "http.server", "--bind", FAR]).arg(last.to_string()).current_dir(scene.dir());
    let far = scene.start(far)?;
    until("the far server listens", scene.limit(), || {
        Ok(std::net::TcpStream::connect((FAR, last)).is_ok())
    })?;
    let entry = ports::free()?;
    let mut near = scene.world.apps.python("python/front.py")?;
    near.args([entry.to_string(), known.to_string(), FAR.to_owned()]);
    let near = scene.serve(near, entry)?;
    let settings = Settings::default().with("BEYLA_OPEN_PORT", format!("{entry},{last}"));
    scene.observe(&settings, &[near.pid, far.pid])?;
    ask(entry, 1, &["direct"])?;
    let spans = scene.spans(3 * REQUESTS)?;
    for n in 0..REQUESTS {
        let chain = chain(&spans, &format!("/direct/0/{n}"), 3)?;
        ensure!(methods(&chain) == ["", "task", "socket-pair"], "{chain:#?}");
    }
    Ok(Expected::both(2 * REQUESTS, REQUESTS))
}

/// A caller and a server with the SDK, and between and behind them servers without: all of it is one trace, and
/// each call that the SDK wrapped is a child of the SDK's own span.
fn sdk(scene: &mut Scene<'_>) -> Result<Expected> {
    if !Path::new(SDK).join("opentelemetry/sdk").is_dir() {
        return Err(Skip("opentelemetry-sdk is not installed".to_owned()).into());
    }
    let (last, after) = back(scene)?;
    let own = ports::free()?;
    let served =
        scene.serve(with_sdk(scene, &["serve", &own.to_string(), &after.to_string()])?, own)?;
    let (first, entry) = front(scene, own)?;
    let settings = Settings::default().with("BEYLA_OPEN_PORT", format!("{entry},{own},{after}"));
    scene.observe(&settings, &[first.pid, served.pid, last.pid])?;
    let asked = with_sdk(scene, &["call", &entry.to_string(), "/passed/0/0"])?;
    let asked = scene.start(asked)?;
    let limit = scene.limit();
    scene.program(asked)?.succeed(limit)?;
    let (trace, outer, _) = said(scene, asked)?;
    let (inner_trace, inner, above) = said(scene, served)?;
    ensure!((&inner_trace, &above) == (&trace, &outer), "the SDK's own trace is torn");
    let spans = scene.spans(5)?;
    ensure!(spans.iter().all(|span| span.trace == trace), "not one trace: {spans:#?}");
    let of = |server, parent: &str| {
        spans.iter().find(|span| span.server == server && span.parent == parent)
    };
    let mut at = of(true, &outer).context("no request below the caller's span")?;
    at = of(false, &at.id).context("no call below it")?;
    of(true, &at.id).context("the SDK's server is not below the call")?;
    at = of(false, &inner).context("no call below the server's span")?;
    of(true, &at.id).context("the last request is not below it")?;
    Ok(Expected::both(3, 2))
}

fn with_sdk(scene: &Scene<'_>, words: &[&str]) -> Result<Command> {
    let mut command = python()?;
    command.env("PYTHONPATH", SDK).arg(scene.world.apps.path("python-sdk.py")).args(words);
    Ok(command)
}

/// Trace, span and parent as a program with the SDK says them.
fn said(scene: &mut Scene<'_>, actor: Actor) -> Result<(String, String, String)> {
    let line = scene.program(actor)?.stdout()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut word = || words.next().with_context(|| format!("{line:?}"));
    Ok((word()?, word()?, word()?))
}
