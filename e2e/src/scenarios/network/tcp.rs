// SPDX-License-Identifier: Apache-2.0
//! What TCP went through, the same in every form.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{deduplicated, printed, settings};
use crate::flows::{FlowLine, Host, Wire};
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::scrape;
use crate::until::until;

const PORT: &str = "7008";
/// Nobody has it.
const CLOSED: &str = "7009";

pub(super) fn list() -> Vec<Scenario> {
    vec![Scenario::new("flows-tcp", tcp).needs(&["ip", "python3"])]
}

fn on(scene: &Scene<'_>, wire: &Wire, host: Host, words: &[&str]) -> Command {
    let mut command = wire.on(host, "python3");
    command.arg(scene.world.apps.path("python-connections.py")).args(words);
    command
}

/// What a metric has in sum: printed, fetched and sent.
fn everywhere(scene: &mut Scene<'_>, attribute: &str) -> Result<[f64; 3]> {
    let name = attribute.strip_prefix("tcp.").context("an attribute of TCP")?;
    let name = name.replace("failed_connects", "failed.connections").replace('_', ".");
    let number = |line: &FlowLine| line.get(attribute).parse::<f64>().unwrap_or_default();
    let lines = printed(scene)?.iter().map(number).sum();
    let page = scrape::parse(&scene.page()?)?;
    let fetched = scrape::sum(&page, &format!("beyla_stat_tcp_{}_total", name.replace('.', "_")));
    Ok([lines, fetched, super::sent(scene, &format!("beyla.stat.tcp.{name}"))])
}

fn until_everywhere(scene: &mut Scene<'_>, attribute: &str, expected: f64) -> Result<()> {
    let mut last = [0.0; 3];
    let same = until(format!("{attribute} is {expected}"), scene.limit(), || {
        last = everywhere(scene, attribute)?;
        Ok(last.iter().all(|value| (value - expected).abs() < 0.5))
    });
    same.with_context(|| format!("printed, fetched and sent: {last:?}"))
}

fn tcp(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let to = wire.address(Host::Two);
    let take = on(scene, &wire, Host::Two, &["take", PORT]);
    scene.start(take)?;
    until("somebody listens", scene.limit(), || {
        let listening = wire.on(Host::Two, "cat").arg("/proc/net/tcp").output()?;
        // 7008, state LISTEN.
        Ok(String::from_utf8_lossy(&listening.stdout).contains(":1B60 00000000:0000 0A"))
    })?;
    let settings = settings(&wire)
        .with("BEYLA_PROMETHEUS_FEATURES", "network,stats")
        .with("BEYLA_OTEL_METRICS_FEATURES", "network,stats");
    scene.observe(&settings, &[])?;

    let give = on(scene, &wire, Host::One, &["give", &to, PORT]);
    let give = scene.start(give)?;
    until("a round-trip time", scene.limit(), || {
        let page = scrape::parse(&scene.page()?)?;
        let sent = scene.collector.arrived().points.iter().any(|p| p.name == "beyla.stat.tcp.rtt");
        Ok(sent && scrape::sum(&page, "beyla_stat_tcp_rtt_seconds_count") > 0.0)
    })?;
    // Nothing comes back from there: what is sent meanwhile counts as lost.
    let back = |what: &str| -> Result<()> {
        let mut route = wire.on(Host::Two, "ip");
        let done = route.args(["route", what, "blackhole", &wire.address(Host::One)]).status()?;
        ensure!(done.success(), "the way back cannot be changed");
        Ok(())
    };
    back("add")?;
    until("segments are sent again", scene.limit(), || {
        Ok(everywhere(scene, "tcp.retransmits")?[0] >= 2.0)
    })?;
    back("del")?;
    scene.program(give)?.signal(Signal::KILL)?;
    until("everything has arrived", scene.limit(), || {
        let sockets = wire.on(Host::One, "cat").arg("/proc/net/tcp").output()?;
        let text = String::from_utf8_lossy(&sockets.stdout).into_owned();
        // 7008, established or FIN-WAIT-1.
        Ok(!text.contains(":1B60 01") && !text.contains(":1B60 04"))
    })?;
    until_everywhere(scene, "tcp.retransmits", sent_again(&wire)?)?;

    let said = on(scene, &wire, Host::One, &["refused", &to, CLOSED, "3"]).status()?;
    ensure!(said.success(), "somebody has port {CLOSED}");
    until_everywhere(scene, "tcp.failed_connects", 3.0)?;
    until_everywhere(scene, "tcp.resets", 3.0)?;
    Ok(deduplicated())
}

/// Segments that the kernel of `Host::One` says it has sent again.
fn sent_again(wire: &Wire) -> Result<f64> {
    let output = wire.on(Host::One, "cat").arg("/proc/net/snmp").output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = lines.next().zip(lines.next()).context("no statistics of TCP")?;
    let at = names.split(' ').position(|name| name == "RetransSegs").context("no RetransSegs")?;
    Ok(values.split(' ').nth(at).context("no value")?.parse()?)
}
