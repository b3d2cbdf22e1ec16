// SPDX-License-Identifier: Apache-2.0
//! Flows when something is wrong: vor is slow, was killed, or may only do half of what it is told.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{
    COUNT, HEADERS, SIZE, deduplicated, ensure_everywhere, printed, send, settings, sums, talk,
    with_spans,
};
use crate::flows::{Host, Wire};
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::scrape;
use crate::until::until;

/// Flows at once; the ring has room for less than half of their packets.
const FLOWS: &str = "20000";

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("flows-lost", lost).needs(&["ip", "python3"]),
        Scenario::new("flows-after-kill", after_kill).needs(&["ip", "tc"]),
        Scenario::new("flows-without-spans", without_spans).needs(&["ip", "python3", "unshare"]),
        Scenario::new("spans-without-flows", without_flows).needs(&["ip", "python3", "setpriv"]),
    ]
}

/// A table of 16 flows, and nobody who empties the ring: packets are lost, and what is told and what is counted as lost
/// are together what the interface counts.
fn lost(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let settings = settings(&wire)
        .with("BEYLA_NETWORK_INTERFACES", wire.outside(Host::One))
        .with("BEYLA_NETWORK_DEDUPER", "none")
        .with("BEYLA_NETWORK_CACHE_MAX_FLOWS", "16");
    scene.observe(&settings, &[])?;
    let counters = || -> Result<(u64, u64)> {
        let read = |name| wire.counter(Host::One, name);
        let packets = read("tx_packets")? + read("rx_packets")?;
        Ok((packets, read("tx_bytes")? + read("rx_bytes")?))
    };
    let before = counters()?;
    scene.vor()?.signal(Signal::STOP)?;
    let mut scatter = wire.on(Host::One, "python3");
    scatter.arg(scene.world.apps.path("python-datagrams.py"));
    let scattered = scatter.args(["scatter", &wire.address(Host::Two), FLOWS]).status();
    scene.vor()?.signal(Signal::CONT)?;
    ensure!(scattered?.success());
    let limit = scene.limit();
    let mut account = String::new();
    let balanced = until("told and lost are the truth", limit, || {
        let after = counters()?;
        let truth = (after.0 - before.0, after.1 - before.1);
        let page = scene.vor()?.own_metrics()?;
        let lost = scrape::sum_of(&page, "vor_stage_lost_total", &["flow"]);
        let bytes =
            page.iter().filter(|s| s.label("stage") == "flow" && s.label("what") == "bytes.lost");
        let lost = (lost, bytes.map(|sample| sample.value).sum::<f64>());
        let told = sums(&printed(scene)?)?;
        account = format!("{told:?} told, {lost:?} lost, {truth:?} passed");
        let all = (super::whole(told.0) + lost.0, super::whole(told.1) + lost.1);
        Ok(lost.0 > 0.0 && all == (super::whole(truth.0), super::whole(truth.1)))
    });
    ensure!(balanced.is_ok(), "{account}");
    Ok(deduplicated().losing(&["flow/no_room", "flow/full"]))
}

/// Filters of one side of an interface.
fn filters(iface: &str) -> Result<usize> {
    let output = Command::new("tc").args(["filter", "show", "dev", iface, "ingress"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter(|line| line.contains("flow_eth_in")).count())
}

/// clsact keeps its filters when their owner is killed; the next one takes them away, and at its end clsact too.
fn after_kill(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let (iface, limit) = (wire.outside(Host::One), scene.limit());
    let settings =
        settings(&wire).with("BEYLA_NETWORK_SOURCE", "tc").with("BEYLA_BPF_TC_BACKEND", "tc");
    scene.observe(&settings, &[])?;
    until("a filter", limit, || Ok(filters(&iface)? == 1))?;
    scene.vor()?.signal(Signal::KILL)?;
    scene.vor()?.ends(limit)?;
    ensure!(filters(&iface)? == 1, "the filter has gone by itself");
    scene.observe(&settings, &[])?;
    until("the old filter is gone", limit, || {
        Ok(scene.vor()?.log()?.contains("removed a filter that was left behind"))
    })?;
    ensure!(filters(&iface)? == 1, "there are {} filters", filters(&iface)?);
    scene.dismiss(&["flows/stage"])?;
    let left = Command::new("tc").args(["qdisc", "show", "dev", &iface]).output()?;
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    ensure!(!left.contains("clsact"), "clsact stays: {left}");
    Ok(Expected::default())
}

/// Without the kernel's type information no program of the application pipeline can be loaded.
fn without_spans(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    let empty = scene.dir().join("btf");
    fs::create_dir(&empty)?;
    let script = format!("mount --bind {} /sys/kernel/btf && exec \"$0\"", empty.display());
    let settings = settings(&wire)
        .with("BEYLA_OPEN_PORT", ports::free()?)
        .through(&["unshare", "--mount", "sh", "-c", &script]);
    scene.observe(&settings, &[])?;
    let log = scene.vor()?.log()?;
    ensure!(log.contains("everything else runs on") && log.contains("application"), "{log}");
    send(scene, &wire)?;
    ensure_everywhere(scene, 2 * COUNT, 2 * COUNT * (SIZE + HEADERS))?;
    Ok(deduplicated())
}

/// Without `CAP_NET_RAW` there is no packet socket.
fn without_flows(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let port = ports::free()?;
    let mut server = scene.world.apps.program("epoll");
    server.arg(port.to_string());
    let server = scene.serve(server, port)?;
    let settings = with_spans(&wire, port).with("BEYLA_NETWORK_AGENT_IP", "192.0.2.1").through(&[
        "setpriv",
        "--bounding-set=-net_raw",
        "--inh-caps=-net_raw",
    ]);
    scene.observe(&settings, &[server.pid])?;
    let log = scene.vor()?.log()?;
    ensure!(log.contains("everything else runs on") && log.contains("CAP_NET_RAW"), "{log}");
    let mut talk = crate::web::Talk::to(port)?;
    ensure!(talk.get("/item")?.status == 200);
    scene.spans(1)?;
    ensure!(printed(scene)?.is_empty(), "there are flows all the same");
    Ok(Expected::server(1))
}
