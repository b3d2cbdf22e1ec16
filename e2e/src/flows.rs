// SPDX-License-Identifier: Apache-2.0
//! Printed flows, and the two hosts behind a bridge between which they pass.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// A line about a flow.
#[derive(Debug, Clone)]
pub struct FlowLine(BTreeMap<String, String>);

impl FlowLine {
    /// The value of an attribute; empty when there is none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The number in an attribute.
    pub fn number(&self, name: &str) -> Result<u64> {
        self.get(name).parse().with_context(|| format!("{name} in {self:?}"))
    }
}

/// What a line about a flow begins with.
pub const MARK: &str = "network_flow: ";

/// Reads all lines about flows; others, and a line that is still being written, are left out.
pub fn parse(output: &str) -> Result<Vec<FlowLine>> {
    let whole = output.rfind('\n').and_then(|end| output.get(..end)).unwrap_or_default();
    whole.lines().filter_map(|text| text.strip_prefix(MARK)).map(line).collect()
}

fn line(pairs: &str) -> Result<FlowLine> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').with_context(|| format!("no pair: {pair}"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    pairs.split(' ').map(pair).collect::<Result<_>>().map(FlowLine)
}

/// Two hosts, each in a network namespace, and a bridge on this one between them. All of it ends with this.
pub struct Wire {
    tag: String,
    net: u32,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// `10.N.M.1`.
    One,
    /// `10.N.M.2`.
    Two,
}

impl Host {
    const fn letter(self) -> char {
        match self {
            Self::One => 'a',
            Self::Two => 'b',
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl Wire {
    /// Joins them. Addresses are known to all beforehand, so nobody needs to ask for them on the wire.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let net = (std::process::id() * 7 + NEXT.fetch_add(1, Ordering::Relaxed)) % 60_000;
        let wire = Self { tag: format!("vn{net}"), net };
        wire.build()?;
        Ok(wire)
    }

    fn build(&self) -> Result<()> {
        let bridge = self.bridge();
        // A bridge that snoops joins a group, and says so on the wire.
        ip(&format!("link add {bridge} type bridge mcast_snooping 0"))?;
        quiet(None, &bridge)?;
        ip(&format!("addr add {}/24 dev {bridge}", self.bridge_address()))?;
        ip(&format!("link set {bridge} up"))?;
        for host in [Host::One, Host::Two] {
            let (space, outside) = (self.space(host), self.outside(host));
            ip(&format!("netns add {space}"))?;
            ip(&format!("link add {outside} type veth peer name eth0 netns {space}"))?;
            quiet(None, &outside)?;
            quiet(Some(&space), "eth0")?;
            ip(&format!("link set {outside} master {bridge} up"))?;
            ip(&format!("-n {space} addr add {}/24 dev eth0", self.address(host)))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        for (host, other) in [(Host::One, Host::Two), (Host::Two, Host::One)] {
            let space = self.space(host);
            let hardware = hardware(Some(&self.space(other)), "eth0")?;
            let to = self.address(other);
            ip(&format!("-n {space} neigh add {to} lladdr {hardware} dev eth0 nud permanent"))?;
        }
        Ok(())
    }

    /// The interface of the bridge on this host.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("{}r", self.tag)
    }

    /// Its address.
    #[must_use]
    pub fn bridge_address(&self) -> String {
        format!("10.{}.{}.254", self.net / 250, self.net % 250)
    }

    /// The address of `host`.
    #[must_use]
    pub fn address(&self, host: Host) -> String {
        format!("10.{}.{}.{}", self.net / 250, self.net % 250, host.number())
    }

    /// This host's end of the wire to `host`.
    #[must_use]
    pub fn outside(&self, host: Host) -> String {
        format!("{}{}", self.tag, host.letter())
    }

    /// All interfaces of this host that belong to it, as vor's setting names them.
    #[must_use]
    pub fn interfaces(&self) -> String {
        format!("/^{}[abr]$/", self.tag)
    }

    fn space(&self, host: Host) -> String {
        format!("{}{}", self.tag, host.letter())
    }

    /// A command that runs on `host`.
    #[must_use]
    pub fn on(&self, host: Host, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(host), program]);
        command
    }

    /// A counter of the interface of `host`, such as `tx_bytes`.
    pub fn counter(&self, host: Host, name: &str) -> Result<u64> {
        let file = format!("/sys/class/net/eth0/statistics/{name}");
        let output = self.on(host, "cat").arg(file).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for host in [Host::One, Host::Two] {
            // The wire goes with the namespace.
            let _ = ip(&format!("netns del {}", self.space(host)));
        }
        let _ = ip(&format!("link del {}", self.bridge()));
    }
}

/// No IPv6: it speaks unasked.
fn quiet(space: Option<&str>, interface: &str) -> Result<()> {
    let within = space.map(|space| format!("-n {space} ")).unwrap_or_default();
    ip(&format!("{within}link set {interface} addrgenmode none"))?;
    let mut shell = match space {
        Some(space) => {
            let mut shell = Command::new("ip");
            shell.args(["netns", "exec", space, "sh"]);
            shell
        }
        None => Command::new("sh"),
    };
    let file = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    let done = shell.args(["-c", &format!("test ! -e {file} || echo 1 > {file}")]).status()?;
    ensure!(done.success(), "IPv6 of {interface} cannot be switched off");
    Ok(())
}

fn hardware(space: Option<&str>, interface: &str) -> Result<String> {
    let space = space.map(|space| vec!["-n", space]).unwrap_or_default();
    let output = Command::new("ip").args(space).args(["-o", "link", "show", interface]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).map(str::to_owned).with_context(|| format!("no hardware address: {text}"))
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("running ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {said}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pairs_and_nothing_else() {
        let lines =
            parse("network_flow: transport=TCP src.name= bytes=5\nnetwork_flow: bro").unwrap();
        assert_eq!(
            (lines.len(), lines[0].get("transport"), lines[0].get("src.name")),
            (1, "TCP", "")
        );
        assert_eq!(lines[0].number("bytes").unwrap(), 5);
        assert!(parse("2025 HTTP 200\n").unwrap().is_empty());
        assert!(parse("network_flow: transport\n").is_err());
    }
}
