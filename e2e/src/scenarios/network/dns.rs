// SPDX-License-Identifier: Apache-2.0
//! Names from DNS, and how long name servers take to say them.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{COUNT, HEADERS, SIZE, deduplicated, ensure_everywhere, printed, send, settings, talk};
use crate::collector::Point;
use crate::flows::{Host, Wire};
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::scrape;
use crate::until::until;
use crate::vor::Settings;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("flows-dns-asked", dns_asked).needs(&["ip", "python3", "dnsmasq", "unshare"]),
        Scenario::new("flows-dns-heard", dns_heard).needs(&["ip", "python3", "dnsmasq"]),
        Scenario::new("flows-dns-hangs", dns_hangs).needs(&["ip", "python3", "unshare"]),
    ]
}

/// A name server on the bridge that knows both hosts.
fn name_server(scene: &mut Scene<'_>, wire: &Wire) -> Result<()> {
    let mut server = Command::new("dnsmasq");
    server.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces"]);
    server.args(["--conf-file=/dev/null", "--user=root", "--pid-file="]);
    server.arg(format!("--listen-address={}", wire.bridge_address()));
    server.arg("--except-interface=lo");
    for (name, host) in [("asks.example.test", Host::One), ("web.example.test", Host::Two)] {
        server.arg(format!("--host-record={name},{}", wire.address(host)));
    }
    scene.start(server)?;
    let at = wire.bridge_address();
    until("the name server answers", scene.limit(), || ask(scene, wire, &at, "web.example.test"))
}

/// Whether a question from a host for `name` finds an answer.
fn ask(scene: &Scene<'_>, wire: &Wire, server: &str, name: &str) -> Result<bool> {
    let mut ask = wire.on(Host::One, "python3");
    ask.arg(scene.world.apps.path("python-datagrams.py")).args(["ask", server, name]);
    Ok(ask.output()?.status.success())
}

/// vor, which asks the name server at `address`, and where nothing else is different.
fn resolving(scene: &Scene<'_>, wire: &Wire, address: &str) -> Result<Settings> {
    let file = scene.dir().join("resolv.conf");
    fs::write(&file, format!("nameserver {address}\n"))?;
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$0\"", file.display());
    let settings = settings(wire).with("BEYLA_NETWORK_REVERSE_DNS_TYPE", "local");
    Ok(settings.through(&["unshare", "--mount", "sh", "-c", &script]))
}

fn until_named(scene: &mut Scene<'_>, wire: &Wire) -> Result<()> {
    let two = wire.address(Host::Two);
    until("a flow with a name", scene.limit(), || {
        send(scene, wire)?;
        let lines = printed(scene)?;
        let to = lines.iter().filter(|line| line.get("dst.address") == two);
        Ok(to.filter(|line| line.get("dst.name") == "web.example.test").count() > 0)
    })
}

fn dns_asked(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    name_server(scene, &wire)?;
    let settings = resolving(scene, &wire, &wire.bridge_address())?;
    scene.observe(&settings, &[])?;
    until_named(scene, &wire)?;
    let asked =
        scrape::sum_of(&scene.vor()?.own_metrics()?, "vor_stage_in_total", &["reverse_dns"]);
    ensure!(asked < 20.0, "each address is asked for once, not {asked} times in all");
    Ok(deduplicated())
}

fn dns_heard(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    name_server(scene, &wire)?;
    let settings = settings(&wire)
        .with("BEYLA_NETWORK_REVERSE_DNS_TYPE", "ebpf")
        .with("BEYLA_PROMETHEUS_FEATURES", "network,stats")
        .with("BEYLA_OTEL_METRICS_FEATURES", "network,stats");
    scene.observe(&settings, &[])?;
    // Nobody has this port there.
    let mut wonder = wire.on(Host::One, "python3");
    wonder.arg(scene.world.apps.path("python-datagrams.py"));
    let asked =
        wonder.args(["wonder", &wire.address(Host::Two), "nobody.example.test"]).status()?;
    ensure!(asked.success());
    ensure!(ask(scene, &wire, &wire.bridge_address(), "web.example.test")?, "no answer");
    until_named(scene, &wire)?;
    for (name, error) in [("web.example.test", ""), ("nobody.example.test", "timeout")] {
        // A question is given up after 15 s.
        until(format!("what became of the question for {name}"), 3 * scene.limit(), || {
            let page = scrape::parse(&scene.page()?)?;
            let fetched = page.iter().filter(|s| {
                s.name == "dns_lookup_duration_seconds_count"
                    && s.label("dns_question_name") == name
                    && s.label("error_type") == error
            });
            let arrived = scene.collector.arrived();
            let text = |point: &Point, key: &str| point.attrs.get(key).cloned().unwrap_or_default();
            let sent = arrived.points.iter().filter(|point| {
                point.name == "dns.lookup.duration"
                    && text(point, "dns.question.name") == name
                    && text(point, "error.type") == error
            });
            Ok(fetched.count() > 0 && sent.count() > 0)
        })?;
    }
    Ok(deduplicated())
}

fn dns_hangs(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    talk(scene, &wire)?;
    // Nobody answers there: questions are sent and wait.
    let settings = resolving(scene, &wire, "192.0.2.53")?;
    scene.observe(&settings, &[])?;
    send(scene, &wire)?;
    ensure_everywhere(scene, 2 * COUNT, 2 * COUNT * (SIZE + HEADERS))?;
    for line in printed(scene)? {
        ensure!(line.get("dst.name") == line.get("dst.address"), "{line:?}");
    }
    Ok(deduplicated().losing(&["reverse_dns/failed"]).holding(&["reverse_dns"]))
}
