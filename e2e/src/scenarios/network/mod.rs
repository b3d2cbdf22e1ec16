// SPDX-License-Identifier: Apache-2.0
//! Network flows between two hosts behind a bridge: exact, the same in every form, and named.

mod dns;
mod kubernetes;
mod settings;
mod tcp;
mod trouble;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::flows::{self, FlowLine, Host, Wire};
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Scene, exact};
use crate::scrape::{self, Sample};
use crate::until::until;
use crate::vor::Settings;

/// Datagrams of one talk, each way, and the bytes in each.
const COUNT: u64 = 100;
const SIZE: u64 = 1000;
/// What Ethernet, IPv4 and UDP put in front of them.
const HEADERS: u64 = 14 + 20 + 8;
pub(super) const PORT: &str = "7007";
const BYTES: &str = "beyla_network_flow_bytes_total";
const PACKETS: &str = "beyla_network_flow_packets_total";

pub(super) fn list() -> Vec<Scenario> {
    let each = |name: &str, source: &'static str| {
        Scenario::new(format!("{name}-{source}"), move |scene| once(scene, source))
            .needs(&["ip", "python3"])
    };
    let own = vec![
        each("flows-once", "socket_filter"),
        each("flows-once", "tc"),
        Scenario::new("flows-each-interface", each_interface).needs(&["ip", "python3"]),
        Scenario::new("flows-fetched", fetched).needs(&["ip", "python3", "prometheus"]),
        Scenario::new("flows-beside-spans", beside_spans).needs(&["ip", "python3"]),
    ];
    let further = [dns::list(), tcp::list(), kubernetes::list(), trouble::list(), settings::list()];
    own.into_iter().chain(further.into_iter().flatten()).collect()
}

/// Flows on the interfaces of `wire`, in every form.
pub(super) fn settings(wire: &Wire) -> Settings {
    Settings::default()
        .with("BEYLA_TRACE_PRINTER", "disabled")
        .with("BEYLA_NETWORK_PRINT_FLOWS", "true")
        .with("BEYLA_NETWORK_INTERFACES", wire.interfaces())
        .with("BEYLA_NETWORK_CACHE_ACTIVE_TIMEOUT", "500ms")
        .with("BEYLA_PROMETHEUS_FEATURES", "network")
        .with("BEYLA_OTEL_METRICS_FEATURES", "network")
}

/// One host answers on [`PORT`], the other is about to ask.
pub(super) fn talk(scene: &mut Scene<'_>, wire: &Wire) -> Result<()> {
    let script = scene.world.apps.path("python-datagrams.py");
    let mut echo = wire.on(Host::Two, "python3");
    echo.arg(&script).args(["echo", PORT]);
    scene.start(echo)?;
    until("the echo listens", scene.limit(), || {
        let mut ask = wire.on(Host::One, "python3");
        let to = wire.address(Host::Two);
        Ok(ask.arg(&script).args(["send", &to, PORT, "1", "1"]).output()?.status.success())
    })
}

/// The talk of known size.
pub(super) fn send(scene: &Scene<'_>, wire: &Wire) -> Result<()> {
    let (count, size) = (COUNT.to_string(), SIZE.to_string());
    let mut send = wire.on(Host::One, "python3");
    send.arg(scene.world.apps.path("python-datagrams.py"));
    let to = wire.address(Host::Two);
    let said = send.args(["send", &to, PORT, &count, &size]).output()?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

pub(super) fn printed(scene: &mut Scene<'_>) -> Result<Vec<FlowLine>> {
    flows::parse(&scene.vor()?.output()?)
}

/// Packets and bytes that lines have in total.
fn sums<'a>(lines: impl IntoIterator<Item = &'a FlowLine>) -> Result<(u64, u64)> {
    lines.into_iter().try_fold((0, 0), |(packets, bytes), line| {
        Ok((packets + line.number("packets")?, bytes + line.number("bytes")?))
    })
}

/// Waits until that many packets were printed.
fn until_printed(scene: &mut Scene<'_>, packets: u64) -> Result<()> {
    let limit = scene.limit();
    until(format!("{packets} packets in printed flows"), limit, || {
        scene.vor()?.runs()?;
        Ok(sums(&printed(scene)?)?.0 >= packets)
    })
}

/// Everything that was printed, counted for Prometheus and sent over OTLP is the same, and this.
fn ensure_everywhere(scene: &mut Scene<'_>, packets: u64, bytes: u64) -> Result<()> {
    until_printed(scene, packets)?;
    let lines = sums(&printed(scene)?)?;
    ensure!(lines == (packets, bytes), "printed {lines:?}, expected {:?}", (packets, bytes));
    let (packets, bytes) = (whole(packets), whole(bytes));
    let page = scrape::parse(&scene.page()?)?;
    let fetched = (scrape::sum(&page, PACKETS), scrape::sum(&page, BYTES));
    ensure!(fetched == (packets, bytes), "counted {fetched:?}, expected {:?}", (packets, bytes));
    until("the same numbers over OTLP", scene.limit(), || {
        let sent = |what: &str| sent(scene, &format!("beyla.network.flow.{what}"));
        Ok((sent("packets"), sent("bytes")) == (packets, bytes))
    })?;
    let arrived = scene.collector.arrived();
    let resource = &arrived.points.last().context("no points")?.resource;
    ensure!(resource.get("service.name").is_some_and(|name| name == "beyla-network-flows"));
    Ok(())
}

/// The sum of the last points of all series called `name`.
fn sent(scene: &Scene<'_>, name: &str) -> f64 {
    let arrived = scene.collector.arrived();
    let named = arrived.points.iter().filter(|point| point.name == name);
    let series: BTreeMap<_, _> = named.map(|point| (point.attrs.clone(), point.sum)).collect();
    series.values().sum()
}

fn whole(count: u64) -> f64 {
    usize::try_from(count).map_or(f64::INFINITY, exact)
}

/// Flows that a stage took away belong to these scenarios.
pub(super) fn deduplicated() -> Expected {
    Expected::default().losing(&["flows/stage"])
}

fn once(scene: &mut Scene<'_>, source: &str) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    scene.observe(&settings(&wire).with("BEYLA_NETWORK_SOURCE", source), &[])?;
    let counter = |name| wire.counter(Host::One, name);
    let before = (counter("tx_bytes")?, counter("rx_bytes")?);
    send(scene, &wire)?;
    let after = (counter("tx_bytes")?, counter("rx_bytes")?);
    let bytes = COUNT * (SIZE + HEADERS);
    ensure!((after.0 - before.0, after.1 - before.1) == (bytes, bytes), "the wire is not quiet");
    ensure_everywhere(scene, 2 * COUNT, 2 * bytes)?;
    let lines = printed(scene)?;
    let there = lines.iter().find(|line| line.get("dst.port") == PORT).context("no way there")?;
    let (one, two) = (wire.address(Host::One), wire.address(Host::Two));
    for (name, expected) in [
        ("transport", "UDP"),
        ("src.address", &one),
        ("dst.address", &two),
        ("src.name", &one),
        ("iface", &wire.outside(Host::One)),
        ("iface.direction", "ingress"),
    ] {
        ensure!(there.get(name) == expected, "{name}: {there:?}");
    }
    Ok(deduplicated())
}

fn each_interface(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    let settings = settings(&wire)
        .with("BEYLA_NETWORK_DEDUPER", "none")
        .with("BEYLA_NETWORK_GUESS_PORTS", "ordinal");
    scene.observe(&settings, &[])?;
    send(scene, &wire)?;
    // In by one wire, out by the other, both ways.
    ensure_everywhere(scene, 4 * COUNT, 4 * COUNT * (SIZE + HEADERS))?;
    // The port of whoever asks is one of the high ones.
    for line in printed(scene)? {
        let asks = line.get("dst.port") == PORT;
        let (direction, other) =
            if asks { ("request", "src.port") } else { ("response", "dst.port") };
        ensure!(line.get("direction") == direction, "{line:?}");
        ensure!(line.get("server.port") == PORT && line.get("client.port") == line.get(other));
    }
    let page = scrape::parse(&scene.page()?)?;
    let of = |iface: &str, direction: &str| {
        let fits = |sample: &&Sample| {
            sample.name == PACKETS
                && sample.label("iface") == iface
                && sample.label("iface_direction") == direction
        };
        page.iter().filter(fits).map(|sample| sample.value).sum::<f64>()
    };
    for host in [Host::One, Host::Two] {
        for direction in ["ingress", "egress"] {
            let counted = of(&wire.outside(host), direction);
            ensure!((counted - whole(COUNT)).abs() < 0.5, "{host:?} {direction}: {counted}");
        }
    }
    Ok(Expected::default())
}

fn fetched(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    let port = ports::free()?;
    let select = scene.dir().join("vor.yml");
    let rules = "attributes:\n  select:\n    beyla_network_flow_*: {include: [src.address, dst_address, dst.port]}\n";
    fs::write(&select, rules)?;
    let settings = settings(&wire)
        .with("BEYLA_CONFIG_PATH", select.display())
        .with("BEYLA_PROMETHEUS_PORT", port);
    scene.observe(&settings, &[])?;
    let server = prometheus(scene, port)?;
    send(scene, &wire)?;
    until_printed(scene, 2 * COUNT)?;
    let (one, two) = (wire.address(Host::One), wire.address(Host::Two));
    let total = whole(COUNT * (SIZE + HEADERS));
    for (query, expected) in [
        (format!("sum({BYTES})"), 2.0 * total),
        (format!("sum({BYTES}{{src_address=\"{one}\",dst_address=\"{two}\"}})"), total),
        (format!("sum({PACKETS}{{dst_port=\"{PORT}\"}})"), whole(COUNT)),
        (format!("sum({BYTES}) / sum({PACKETS})"), whole(SIZE + HEADERS)),
        (format!("count(count by (src_address) ({BYTES}))"), 2.0),
    ] {
        until(format!("Prometheus answers {query}"), scene.limit(), || {
            Ok(answer(server, &query)? == Some(expected))
        })?;
    }
    Ok(deduplicated())
}

/// A Prometheus server that fetches from `port`; its own port.
fn prometheus(scene: &mut Scene<'_>, port: u16) -> Result<u16> {
    let own = ports::free()?;
    let config = scene.dir().join("prometheus.yml");
    let jobs = format!(
        "scrape_configs:\n  - job_name: vor\n    scrape_interval: 250ms\n    scrape_timeout: 250ms\n    \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    );
    fs::write(&config, jobs)?;
    let mut server = Command::new("prometheus");
    server.arg(format!("--config.file={}", config.display()));
    server.arg(format!("--storage.tsdb.path={}", scene.dir().join("tsdb").display()));
    server.arg(format!("--web.listen-address=127.0.0.1:{own}"));
    scene.serve(server, own)?;
    Ok(own)
}

/// The only value that the server has for `query`; `None`: it has none yet.
fn answer(server: u16, query: &str) -> Result<Option<f64>> {
    let escaped: String = query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let answer = scrape::get(server, &format!("/api/v1/query?query={escaped}"))?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let value = answer.pointer("/data/result/0/value/1").and_then(|value| value.as_str());
    Ok(value.and_then(|value| value.parse().ok()))
}

/// Flows of `wire`, and spans of the server on `port`.
fn with_spans(wire: &Wire, port: u16) -> Settings {
    settings(wire)
        .with("BEYLA_OPEN_PORT", port)
        .with("BEYLA_TRACE_PRINTER", "text")
        .with("BEYLA_PROMETHEUS_FEATURES", "application,network")
        .with("BEYLA_OTEL_METRICS_FEATURES", "application,network")
}

fn beside_spans(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let port = ports::free()?;
    let mut server = scene.world.apps.program("epoll");
    server.arg(port.to_string());
    let server = scene.serve(server, port)?;
    scene.observe(&with_spans(&wire, port), &[server.pid])?;
    let mut ask = wire.on(Host::One, "python3");
    let url = format!("http://{}:{port}/item", wire.bridge_address());
    let get = format!("import urllib.request; urllib.request.urlopen('{url}', timeout=5).read()");
    let said = ask.args(["-c", &get]).output()?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    scene.spans(1)?;
    until("a flow of the service", scene.limit(), || {
        let lines = printed(scene)?;
        let there = lines.iter().find(|line| line.get("service.peer.name") == "epoll");
        let back = lines.iter().find(|line| line.get("service.name") == "epoll");
        let asks = |line: &FlowLine| line.get("direction") == "request";
        Ok(there.is_some_and(asks) && back.is_some())
    })?;
    Ok(Expected { server: 1, ..deduplicated() })
}
