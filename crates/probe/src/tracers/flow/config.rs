// SPDX-License-Identifier: Apache-2.0
//! Settings of the flow tracer. Their keys stand in the section `network`, which the binary puts together.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// What the flow tracer is told.
#[derive(Debug, Clone)]
pub struct FlowConfig {
    /// Where packets are seen.
    pub source: Source,
    /// Interfaces that are watched; empty: all.
    pub interfaces: Interfaces,
    /// Interfaces that are not, even if they are among those.
    pub exclude_interfaces: Interfaces,
    /// Which way packets are to pass an interface to count.
    pub direction: Direction,
    /// One of so many packets is looked at; 0 and 1: every packet.
    pub sampling: u32,
    /// Flows that the kernel counts at once.
    pub max_flows: MaxFlows,
    /// Time between two reports of a flow.
    pub period: Duration,
    /// Who is taken for the initiator where no handshake was seen.
    pub guess_ports: GuessPorts,
    /// Whose addresses make the flow of a packet that carries another.
    pub tunnels: Tunnels,
    /// How new interfaces are found.
    pub listen: Listen,
    /// Time between two looks at the list of interfaces and of namespaces.
    pub poll_period: Duration,
    /// Whether interfaces of all network namespaces are watched.
    pub all_namespaces: bool,
    /// How programs are attached to interfaces for [`Source::Tc`].
    pub backend: Backend,
    /// Whether DNS answers are told.
    pub dns: bool,
}

/// Where packets are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A filter on packet sockets.
    SocketFilter,
    /// Programs of traffic control.
    Tc,
}

/// Which way packets pass an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// In or out.
    Both,
    /// In.
    Ingress,
    /// Out.
    Egress,
}

/// Who began where no handshake was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuessPorts {
    /// Nobody knows.
    Disable,
    /// The end with the higher port.
    Ordinal,
}

/// Whose addresses make the flow of a packet of VXLAN, Geneve, GRE or IP in IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tunnels {
    /// Those of the tunnel's ends.
    Outer,
    /// Those of the packet inside.
    Inner,
}

/// How programs of traffic control are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// By links (TCX, since 6.6) where the kernel has them, otherwise by filters.
    Auto,
    /// By filters of the queueing discipline clsact.
    Tc,
    /// By links.
    Tcx,
}

/// How new interfaces are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// The kernel tells.
    Watch,
    /// They are listed now and then.
    Poll,
    /// Another word, which means [`Listen::Watch`] and is worth a warning.
    Unknown(String),
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        Ok(match word.as_str() {
            "watch" => Self::Watch,
            "poll" => Self::Poll,
            _ => Self::Unknown(word),
        })
    }
}

/// Flows that the kernel counts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct MaxFlows(u32);

impl MaxFlows {
    /// The number, at least 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for MaxFlows {
    type Error = &'static str;

    fn try_from(flows: u32) -> Result<Self, Self::Error> {
        if (1..=1 << 22).contains(&flows) {
            Ok(Self(flows))
        } else {
            Err("the kernel counts 1 to 4194304 flows at once")
        }
    }
}

/// Interfaces by name, or by regular expression between slashes.
#[derive(Debug, Clone, Default)]
pub struct Interfaces(Vec<Pattern>);

#[derive(Debug, Clone)]
enum Pattern {
    Name(String),
    Regexp(regex::Regex),
}

impl Interfaces {
    /// Whether nothing is named.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `name` is among them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name(known) => known == name,
            Pattern::Regexp(regexp) => regexp.is_match(name),
        })
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        let inside = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        match inside {
            _ if text.is_empty() => {}
            Some(regexp) => {
                let compiled = regex::Regex::new(regexp).map_err(|error| {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default().to_owned();
                    format!("{regexp:?} is not a regular expression: {why}")
                })?;
                self.0.push(Pattern::Regexp(compiled));
            }
            None => self.0.push(Pattern::Name(text.to_owned())),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Interfaces {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(List)
    }
}

struct List;

impl<'de> de::Visitor<'de> for List {
    type Value = Interfaces;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interfaces such as eth0,/^veth/")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Interfaces, E> {
        let mut all = Interfaces::default();
        text.split(',').try_for_each(|part| all.add(part)).map_err(E::custom)?;
        Ok(all)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Interfaces, A::Error> {
        let mut all = Interfaces::default();
        while let Some(part) = parts.next_element::<String>()? {
            all.add(&part).map_err(de::Error::custom)?;
        }
        Ok(all)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Interfaces, E> {
        Ok(Interfaces::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_names_and_expressions() {
        let all: Interfaces = serde_json::from_str(r#""eth0, /^veth[0-9]+$/,""#).unwrap();
        assert!(all.contains("eth0") && all.contains("veth12"));
        assert!(!all.contains("ETH0") && !all.contains("eth01") && !all.contains("veth"));
        let listed: Interfaces = serde_json::from_str(r#"["eth0", "/^v/"]"#).unwrap();
        assert!(listed.contains("v") && listed.contains("eth0"));
        assert!(serde_json::from_str::<Interfaces>(r#""""#).unwrap().is_empty());
        let refused = serde_json::from_str::<Interfaces>(r#""/(/""#).unwrap_err().to_string();
        assert!(refused.contains("is not a regular expression"), "{refused}");
    }

    #[test]
    fn no_flows_at_all_are_refused() {
        assert!(MaxFlows::try_from(0).is_err());
        assert_eq!(MaxFlows::try_from(5000).unwrap().get(), 5000);
    }
}
