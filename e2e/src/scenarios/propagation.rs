// SPDX-License-Identifier: Apache-2.0
//! Context on the wire: a vor that sees only the caller writes, another that sees only the other end reads.

use std::collections::HashSet;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::traces::{self, Cable, FAR};
use crate::apps;
use crate::collector::Span;
use crate::ports;
use crate::printed::{self, Line};
use crate::scenario::{Expected, Scenario, Skip};
use crate::scene::{Scene, exact};
use crate::scrape;
use crate::shop;
use crate::until::until;
use crate::vor::{Settings, Vor};

const CLIENTS: usize = 2;
/// Calls on one connection.
const CALLS: usize = 4;
/// Commands; URL stands for an address.
const CLIENTS_OF_ALL: &[&[&str]] = &[
    &["curl", "-sS", "http://URL"],
    &[
        "python3",
        "-c",
        "import urllib.request as r; print(r.urlopen('http://URL').read().decode())",
    ],
];
const NODE: &[&str] =
    &["node", "-e", "require('http').get('http://URL', answer => answer.pipe(process.stdout))"];
/// What a program says of its trace by itself.
pub(super) const OWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(super) const MODE: &str = "BEYLA_BPF_CONTEXT_PROPAGATION";

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("wire-tcp", |scene| two_agents(scene, "tcp")).needs(&["python3"]).smoke(),
        Scenario::new("wire-tcp-namespaces", |scene| namespaces(scene, false))
            .needs(&["ip", "python3"]),
        Scenario::new("wire-tcp-nat", |scene| namespaces(scene, true))
            .needs(&["ip", "iptables", "python3"]),
        Scenario::new("wire-tcp-tls", tls),
        Scenario::new("wire-clients", |scene| clients(scene, CLIENTS_OF_ALL))
            .needs(&["curl", "python3"])
            .smoke(),
        Scenario::new("wire-node", |scene| clients(scene, &[NODE])).needs(&["node", "python3"]),
        Scenario::new("wire-nginx", nginx).needs(&["curl", "nginx", "python3"]).smoke(),
        Scenario::new("wire-mixed", |scene| mixed(scene, "headers", 8, 256))
            .needs(&["openssl", "python3"]),
        Scenario::new("wire-mixed-all", |scene| mixed(scene, "all", 8, 256))
            .needs(&["openssl", "python3"]),
        Scenario::new("wire-mixed-gigabyte", |scene| mixed(scene, "all", 32, 5000))
            .needs(&["openssl", "python3"]),
        Scenario::new("wire-mixed-smoke", |scene| mixed(scene, "headers", 1, 16))
            .needs(&["openssl", "python3"])
            .smoke(),
        Scenario::new("wire-disabled", disabled).needs(&["python3"]),
    ]
}

/// A second vor, which sees `pid` only, that listens on `port`.
pub(super) fn second(scene: &Scene<'_>, mode: &str, port: u16, pid: u32) -> Result<Vor> {
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
pub(super) fn printed_by(scene: &Scene<'_>, vor: &mut Vor, count: usize) -> Result<Vec<Line>> {
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
    let calls = calls.iter().filter(|span| span.kind == SpanKind::Client);
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
    ensure_below(&spans, &printed_by(scene, &mut other, calls)?)?;
    // Each call is on a connection of its own; what this program connected to is not vor's business.
    until_counted(scene, "wire_tcp", "wire.sockets", calls)?;
    until_counted(scene, "wire_tcp", "wire.written", calls)?;
    let strangers = counted(scene.vor()?, "wire_tcp", "wire.strangers")?;
    ensure!(strangers >= exact(CLIENTS), "{strangers} connections of others");
    other.stop(scene.world.patience)?;
    Ok(Expected::both(calls, calls))
}

/// A Go program calls another by HTTPS, again and again on one connection, each with a vor of its own.
fn tls(scene: &mut Scene<'_>) -> Result<Expected> {
    let apps = &scene.world.apps;
    if !apps.has("stock") || !apps.has("prices") {
        return Err(Skip("Go, or the modules of the program `prices`, are not there".into()).into());
    }
    let (entry, last) = (ports::free()?, ports::free()?);
    let mut prices = apps.program("prices");
    prices.args([last, ports::free()?].map(|port| port.to_string()));
    let mut stock = apps.program("stock");
    stock.args([entry, last].map(|port| port.to_string()));
    let back = scene.serve(prices, last)?;
    let front = scene.serve(stock, entry)?;
    scene.observe(&Settings::port(entry).with(MODE, "tcp"), &[front.pid])?;
    scene.probed(1)?;
    let mut other = second(scene, "tcp", last, back.pid)?;
    other.probed(1, scene.limit())?;
    for item in 1..=CALLS {
        scrape::get(entry, &format!("/stock/{item}"))?;
    }
    let spans = scene.spans(2 * CALLS)?;
    // Of each call: its request, the call by gRPC that it leads to, and that call's other end.
    let mut lines = printed_by(scene, &mut other, 3 * CALLS)?;
    lines.retain(|line| line.label == "HTTP");
    ensure_below(&spans, &lines)?;
    other.stop(scene.world.patience)?;
    Ok(Expected::both(CALLS, CALLS).losing(&["assemble/unclaimed"]))
}

/// The server of `mixed.py`, and its ports: in clear text, and with TLS.
fn taker(scene: &mut Scene<'_>) -> Result<(u16, u16)> {
    let pem = scene.dir().join("both.pem");
    let mut openssl = Command::new("openssl");
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '));
    openssl.args(["-subj", "/CN=mixed", "-out"]).arg(scene.dir().join("cert.pem"));
    openssl.arg("-keyout").arg(scene.dir().join("key.pem"));
    let said = openssl.output()?;
    ensure!(said.status.success(), "openssl: {}", String::from_utf8_lossy(&said.stderr));
    let file = |name: &str| fs::read(scene.dir().join(name));
    fs::write(&pem, [file("key.pem")?, file("cert.pem")?].concat())?;
    let (port, tls) = (ports::free()?, ports::free()?);
    let mut server = scene.world.apps.python("python/mixed.py")?;
    server.args(["serve", &port.to_string(), &tls.to_string()]).arg(&pem);
    scene.serve(server, port)?;
    Ok((port, tls))
}

/// A copy of the interpreter, so that it can be told from other programs in Python.
fn own_python(scene: &Scene<'_>) -> Result<PathBuf> {
    let copy = scene.dir().join("mixedpython");
    let real = fs::canonicalize(apps::python()?.get_program())?;
    fs::copy(real, &copy)?;
    Ok(copy)
}

/// Many kinds of traffic, each so often: what arrives is what was sent, but for one line in the first request of a
/// connection, which says where the printed call is.
fn mixed(scene: &mut Scene<'_>, mode: &str, rounds: usize, kib: usize) -> Result<Expected> {
    let (port, tls) = taker(scene)?;
    let mut command = Command::new(own_python(scene)?);
    command.arg(scene.world.apps.path("python-mixed.py"));
    command.args(["ask".to_owned(), port.to_string(), tls.to_string()]);
    command.args([rounds.to_string(), kib.to_string()]);
    let client = scene.start(command)?;
    let settings = scene.executable("/mixedpython$")?.with(MODE, mode);
    scene.observe_printed(&settings, &[client.pid])?;
    let before = counted(scene.vor()?, "wire_http", "wire.written")?;
    scene.go(client)?;
    let said = scene.program(client)?.stdout()?;
    let (others, said): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("KIND"));
    // A connection at which somebody else is at work just then gets none.
    ensure!(others.len() * 16 <= rounds, "lines elsewhere than expected: {others:?}");
    ensure!(others.iter().all(|line| line.ends_with(" 0 1")), "too many lines: {others:?}");
    let mut lines: Vec<_> = said.into_iter().filter_map(|line| line.split_once(' ')).collect();
    let sent = lines.pop().context("nothing was sent")?;
    // Seven kinds carry all of the noise.
    ensure!(sent.0 == "sent" && sent.1.parse::<usize>()? >= rounds * kib * 1024 * 7, "{sent:?}");
    ensure!(lines.len() >= rounds * 10, "only {} lines were added", lines.len());
    until("as many lines are counted", scene.limit(), || {
        let written = counted(scene.vor()?, "wire_http", "wire.written")? - before;
        Ok(written >= exact(lines.len()))
    })?;
    until("each line's call is printed", scene.limit(), || {
        let printed = scene.vor()?.printed()?;
        let headers: HashSet<_> = printed
            .iter()
            .filter_map(|line| Some((&*line.object, header(&line.context)?)))
            .collect();
        Ok(lines.iter().all(|&(path, value)| headers.contains(&(path, value.to_owned()))))
    })?;
    // Clients that close their half first can be interrupted by the end of the other half.
    scene.dismiss(&["assemble/unclaimed", "assemble/unreadable", "socket/conn_busy"])?;
    Ok(Expected::default())
}

/// Clients under `vor exec`: the server gets one header, whose span is the call that vor printed.
fn clients(scene: &mut Scene<'_>, clients: &[&[&str]]) -> Result<Expected> {
    let (_, port) = traces::back(scene)?;
    for words in clients {
        let words =
            words.iter().map(|word| word.replace("URL", &format!("127.0.0.1:{port}/heard")));
        let mut command = Settings::default().with(MODE, "headers").command(&scene.world.vor);
        if let Some(door) = scene.world.door {
            command.env("VOR_DOOR", door.as_str());
        }
        command.args(["exec", "--"]).args(words);
        let actor = scene.start(command)?;
        let limit = scene.limit();
        let program = scene.program(actor)?;
        program.succeed(limit)?;
        let (heard, said) = (program.stdout()?, program.stderr()?);
        let lines: Vec<_> = said.lines().filter_map(|line| printed::parse(line).ok()).collect();
        let [call] = lines.as_slice() else { bail!("not one call: {said}") };
        ensure!(Some(heard.trim()) == header(&call.context).as_deref(), "heard {heard:?}: {said}");
    }
    Ok(Expected::default())
}

/// The header that says the place of a printed call, `00-trace-span[parent]-flags`.
pub(super) fn header(context: &str) -> Option<String> {
    let (ids, rest) = context.split_once('[')?;
    let (_, flags) = rest.split_once(']')?;
    Some(format!("{ids}{flags}"))
}

/// nginx passes requests on: what it calls gets one header, its own call's; or the caller's, which it passes on.
fn nginx(scene: &mut Scene<'_>) -> Result<Expected> {
    let (_, last) = traces::back(scene)?;
    let entry = ports::free()?;
    let block = format!(
        "server {{ listen 127.0.0.1:{entry}; location / {{ proxy_pass http://127.0.0.1:{last}; }} }}"
    );
    let command = shop::nginx(scene.dir(), &block)?;
    let master = scene.serve(command, entry)?;
    let pids = super::servers::children(scene, master.pid, 1)?;
    scene.observe(&Settings::port(entry).with(MODE, "headers"), &pids)?;
    let get = |path: &str, header: &str| -> Result<String> {
        let url = format!("http://127.0.0.1:{entry}{path}");
        let curl = Command::new("curl").args(["-sS", "-H", header, &url]).output()?;
        Ok(String::from_utf8(curl.stdout)?.trim().to_owned())
    };
    let mut heard = Vec::new();
    for n in 0..traces::REQUESTS {
        heard.push(get(&format!("/heard/{n}"), "X: y")?);
    }
    let passed = get("/heard/own", &format!("traceparent: {OWN}"))?;
    ensure!(passed == OWN, "heard {passed:?} of {OWN}");
    let total = traces::REQUESTS + 1;
    let spans = scene.spans(2 * total)?;
    for (n, heard) in heard.iter().enumerate() {
        let path = format!("/heard/{n}");
        let mut calls = spans.iter().filter(|s| !s.server && s.attr("url.full").ends_with(&path));
        let call = calls.next().context("no call")?;
        let place = format!("00-{}-{}-01", call.trace, call.id);
        ensure!(*heard == place, "heard {heard:?}, the call is {place}");
    }
    Ok(Expected::both(total, total))
}

/// The other end is in a network namespace of its own, behind a cable, and behind a port that is not its own when
/// addresses are translated; its vor sees nothing else.
fn namespaces(scene: &mut Scene<'_>, translated: bool) -> Result<Expected> {
    // A namespace that was deleted holds its cable for a moment.
    let cable = Cable::new(if translated { "n" } else { "w" })?;
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
    ensure_below(&spans, &printed_by(scene, &mut other, calls)?)?;
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
    let lines = printed_by(scene, &mut other, calls)?;
    ensure!(lines.iter().all(|line| line.context.contains("[0000000000000000]")), "{lines:?}");
    ensure!(counted(&other, "wire_tcp", "wire.heard")? == 0.0, "something was heard");
    let units = scene.vor()?.own_metrics()?;
    ensure!(!units.iter().any(|sample| sample.label("unit").starts_with("wire_")), "{units:?}");
    other.stop(scene.world.patience)?;
    Ok(Expected::both(calls, calls))
}
