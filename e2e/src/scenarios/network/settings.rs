// SPDX-License-Identifier: Apache-2.0
//! The variables of the network pipeline: their defaults, what they set, and what keeps vor from starting.

use anyhow::{Result, ensure};

use crate::flows::Wire;
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;
use crate::until::until;
use crate::vor::Settings;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("flows-variables", variables),
        Scenario::new("flows-go-nowhere", go_nowhere),
        Scenario::new("flows-unknown-listen", unknown_listen).needs(&["ip"]),
    ]
}

/// Variable, key, default, another value.
const VARIABLES: [(&str, &str, &str, &str); 24] = [
    ("METRICS", "network.enable", "false", "true"),
    ("SOURCE", "network.source", "socket_filter", "tc"),
    ("AGENT_IP", "network.agent_ip", "", "192.0.2.1"),
    ("AGENT_IP_IFACE", "network.agent_ip_iface", "external", "local"),
    ("AGENT_IP_TYPE", "network.agent_ip_type", "any", "ipv6"),
    ("INTERFACES", "network.interfaces", "", "eth0,/^veth/"),
    ("EXCLUDE_INTERFACES", "network.exclude_interfaces", "lo", "docker0"),
    ("PROTOCOLS", "network.protocols", "[]", "TCP,UDP"),
    ("EXCLUDE_PROTOCOLS", "network.exclude_protocols", "[]", "ICMP"),
    ("CACHE_MAX_FLOWS", "network.cache_max_flows", "5000", "70000"),
    ("CACHE_ACTIVE_TIMEOUT", "network.cache_active_timeout", "5s", "7s"),
    ("DEDUPER", "network.deduper", "first_come", "none"),
    ("DEDUPER_FC_TTL", "network.deduper_fc_ttl", "0", "30s"),
    ("DIRECTION", "network.direction", "both", "ingress"),
    ("SAMPLING", "network.sampling", "0", "50"),
    ("LISTEN_INTERFACES", "network.listen_interfaces", "watch", "poll"),
    ("LISTEN_POLL_PERIOD", "network.listen_poll_period", "10s", "20s"),
    ("REVERSE_DNS_TYPE", "network.reverse_dns.type", "none", "ebpf"),
    ("REVERSE_DNS_CACHE_LEN", "network.reverse_dns.cache_len", "256", "512"),
    ("REVERSE_DNS_CACHE_TTL", "network.reverse_dns.cache_expiry", "1h", "5m"),
    ("PRINT_FLOWS", "network.print_flows", "false", "true"),
    ("CIDRS", "network.cidrs", "[]", "10.0.0.0/8"),
    ("DROP_EXTERNAL", "attributes.kubernetes.drop_external", "false", "true"),
    ("GUESS_PORTS", "network.guess_ports", "disable", "ordinal"),
];

/// The value of a dotted key of a page of settings.
fn value(page: &str, key: &str) -> Result<String> {
    let (mut words, mut depth) = (key.split('.').peekable(), 0);
    for line in page.lines() {
        let Some(word) = words.peek() else { break };
        let Some(rest) = line.strip_prefix(&"  ".repeat(depth)) else { continue };
        let rest = rest.trim_start_matches("# ");
        let Some(value) = rest.strip_prefix(word).and_then(|rest| rest.strip_prefix(':')) else {
            continue;
        };
        words.next();
        depth += 1;
        if words.peek().is_none() {
            let value = value.split("  #").next().unwrap_or_default().trim();
            return Ok(value.trim_matches('"').replace("not set", ""));
        }
    }
    anyhow::bail!("{key} is not on the page")
}

fn effective(scene: &Scene<'_>, settings: &Settings) -> Result<String> {
    let output = settings.command(&scene.world.vor).arg("config").output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn variables(scene: &mut Scene<'_>) -> Result<Expected> {
    let page = effective(scene, &Settings::default())?;
    for (name, key, default, _) in VARIABLES {
        let found = value(&page, key)?;
        ensure!(found == default, "{key} is {found} when BEYLA_NETWORK_{name} is not set");
    }
    let all = VARIABLES.iter().fold(Settings::default(), |settings, (name, _, _, other)| {
        settings.with(&format!("BEYLA_NETWORK_{name}"), other)
    });
    let page = effective(scene, &all)?;
    for (name, key, _, other) in VARIABLES {
        let found = value(&page, key)?;
        ensure!(found == other, "{key} is {found} with BEYLA_NETWORK_{name}={other}");
    }
    Ok(Expected::default())
}

/// A way of finding interfaces that nobody knows is no reason not to start.
fn unknown_listen(scene: &mut Scene<'_>) -> Result<Expected> {
    let wire = Wire::new()?;
    let settings = super::settings(&wire).with("BEYLA_NETWORK_LISTEN_INTERFACES", "ask");
    scene.observe(&settings, &[])?;
    let limit = scene.limit();
    until("it says what it takes instead", limit, || {
        Ok(scene.vor()?.log()?.contains("taken for watch"))
    })?;
    let watching = scene.vor()?.own_metrics()?;
    let interfaces = watching
        .iter()
        .find(|sample| sample.label("stage") == "flow" && sample.label("what") == "interfaces");
    ensure!(interfaces.is_some_and(|sample| sample.value > 2.5), "{interfaces:?}");
    Ok(super::deduplicated())
}

fn go_nowhere(scene: &mut Scene<'_>) -> Result<Expected> {
    let said = |variables: &[(&str, &str)]| -> Result<(Option<i32>, String)> {
        let mut settings = Settings::default();
        for (name, value) in variables {
            settings = settings.with(name, value);
        }
        let output = settings.command(&scene.world.vor).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for (variables, expected) in [
        (&[("BEYLA_NETWORK_METRICS", "true")][..], "nothing takes flows"),
        (
            &[("BEYLA_NETWORK_PRINT_FLOWS", "true"), ("BEYLA_NETWORK_SOURCE", "xdp")],
            "network.source",
        ),
        (&[("BEYLA_NETWORK_CIDRS", "10.0.0.0/40")], "is not a network"),
        (&[("BEYLA_NETWORK_PROTOCOLS", "TPC")], "there is no protocol \"TPC\""),
        (&[("BEYLA_NETWORK_AGENT_IP", "here")], "network.agent_ip"),
        (&[("BEYLA_NETWORK_AGENT_IP_IFACE", "eth0")], "name:INTERFACE"),
        (&[("BEYLA_NETWORK_AGENT_IP_TYPE", "ipx")], "network.agent_ip_type"),
        (&[("BEYLA_NETWORK_INTERFACES", "/(/")], "regular expression"),
        (&[("BEYLA_NETWORK_EXCLUDE_INTERFACES", "/[/")], "regular expression"),
        (&[("BEYLA_NETWORK_EXCLUDE_PROTOCOLS", "UPD")], "there is no protocol \"UPD\""),
        (&[("BEYLA_NETWORK_CACHE_MAX_FLOWS", "0")], "1 to 4194304 flows"),
        (&[("BEYLA_NETWORK_CACHE_ACTIVE_TIMEOUT", "soon")], "network.cache_active_timeout"),
        (&[("BEYLA_NETWORK_DEDUPER", "all")], "network.deduper"),
        (&[("BEYLA_NETWORK_DEDUPER_FC_TTL", "never")], "network.deduper_fc_ttl"),
        (&[("BEYLA_NETWORK_DIRECTION", "down")], "network.direction"),
        (&[("BEYLA_NETWORK_SAMPLING", "-1")], "network.sampling"),
        (&[("BEYLA_NETWORK_LISTEN_POLL_PERIOD", "x")], "network.listen_poll_period"),
        (&[("BEYLA_NETWORK_REVERSE_DNS_TYPE", "remote")], "network.reverse_dns.type"),
        (&[("BEYLA_NETWORK_REVERSE_DNS_CACHE_LEN", "many")], "network.reverse_dns.cache_len"),
        (&[("BEYLA_NETWORK_REVERSE_DNS_CACHE_TTL", "1")], "network.reverse_dns.cache_expiry"),
        (&[("BEYLA_NETWORK_PRINT_FLOWS", "xml")], "network.print_flows"),
        (&[("BEYLA_NETWORK_METRICS", "maybe")], "network.enable"),
        (&[("BEYLA_NETWORK_DROP_EXTERNAL", "maybe")], "attributes.kubernetes.drop_external"),
        (&[("BEYLA_NETWORK_GUESS_PORTS", "odd")], "network.guess_ports"),
        (&[("BEYLA_BPF_TC_BACKEND", "xdp")], "ebpf.traffic_control_backend"),
        (
            &[
                ("BEYLA_NETWORK_PRINT_FLOWS", "true"),
                ("BEYLA_NETWORK_AGENT_IP_IFACE", "name:none0"),
            ],
            "none0",
        ),
    ] {
        let (code, error) = said(variables)?;
        ensure!(code.is_some_and(|code| code != 0), "{variables:?}: it ended with {code:?}");
        ensure!(error.contains(expected), "{variables:?}: {error}");
    }
    Ok(Expected::default())
}
