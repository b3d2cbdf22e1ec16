// SPDX-License-Identifier: Apache-2.0
//! Ports as people write them: `80,443,8000-8999`.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// A set of ports, kept as sorted ranges that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortSet(Vec<RangeInclusive<u16>>);

impl PortSet {
    /// True when `port` is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    /// True when no port is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges in rising order, without overlaps.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }
}

/// Why a text is not a set of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortSetError {
    /// One part is neither a port nor a range.
    #[error("{0:?} is not a port from 1 to 65535, write ports such as 80,443,8000-8999")]
    Port(String),
    /// A range runs downwards.
    #[error("the range {0}-{1} ends before it begins")]
    Backwards(u16, u16),
}

impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        sorted.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*range.end().max(last.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(range).collect()
    }
}

fn range(part: &str) -> Result<RangeInclusive<u16>, PortSetError> {
    let Some((first, last)) = part.split_once('-') else {
        let only = port(part)?;
        return Ok(only..=only);
    };
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(PortSetError::Backwards(first, last));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, PortSetError> {
    let text = text.trim();
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok().filter(|port| *port > 0))
        .flatten()
        .ok_or_else(|| PortSetError::Port(text.to_owned()))
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = PortSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ports such as 80,443,8000-8999")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PortSet, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, port: u64) -> Result<PortSet, E> {
        self.visit_str(&port.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read_sorted_and_merged() {
        for (text, written, inside, outside) in [
            ("80", "80", 80, 81),
            ("80,443,8000-8999", "80,443,8000-8999", 8500, 7999),
            (" 443 , 80 ", "80,443", 443, 444),
            ("8000 - 8002, 8001-9000, 9001", "8000-9001", 9001, 9002),
            ("1-65535", "1-65535", 65535, 0),
        ] {
            let ports: PortSet = text.parse().unwrap();
            assert_eq!(ports.to_string(), written);
            assert!(ports.contains(inside) && !ports.contains(outside), "{text}");
        }
        assert!("".parse::<PortSet>().unwrap().is_empty());
    }

    #[test]
    fn what_is_not_a_port_is_refused_by_name() {
        for (text, expected) in [
            ("http", "\"http\" is not a port"),
            ("0", "\"0\" is not a port"),
            ("65536", "\"65536\" is not a port"),
            ("80,", "\"\" is not a port"),
            ("+80", "\"+80\" is not a port"),
            ("1-2-3", "\"2-3\" is not a port"),
            ("90-80", "the range 90-80 ends before it begins"),
        ] {
            let error = text.parse::<PortSet>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
