// SPDX-License-Identifier: Apache-2.0
//! A span of time as people write it: `10s`, `500ms`, `1m30s`, `1.5h`, `0`.
//!
//! A number without a unit is refused (except 0), because no two tools agree on what it would mean. The
//! one exception is made by the loader: the standard `OTEL_*` variables count in milliseconds.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// The name under which [`Duration`] makes itself known to the loader's deserialiser.
pub(crate) const DURATION: &str = "vor::Duration";

const NANOS_PER_UNIT: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Fractions are read to the nanosecond of the largest unit; more digits are refused.
const MAX_FRACTION_DIGITS: usize = 12;

/// A length of time, 0 to 2^64 ns (about 584 years), written as numbers with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// The same length as the standard library counts it.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// True for a length of 0, which many settings read as "off".
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(length: std::time::Duration) -> Self {
        Self(length)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(length: Duration) -> Self {
        length.0
    }
}

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is missing, write one such as 10s")]
    Empty,
    /// A number stands alone.
    #[error("{0} has no unit, write for example {0}s or {0}ms")]
    NoUnit(String),
    /// The unit is none of ours.
    #[error("{0:?} is not a unit of time, use ns, us, ms, s, m or h")]
    Unit(String),
    /// There is no number where one is expected.
    #[error("{0:?} is not a duration, write one such as 10s, 500ms or 1m30s")]
    Number(String),
    /// Longer than can be counted.
    #[error("{0} is longer than 584 years")]
    TooLong(String),
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        if text == "0" {
            return Ok(Self::default());
        }
        let mut total: u128 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            let (number, after) = rest.split_at(number_end.unwrap_or(rest.len()));
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.');
            let (unit, after) = after.split_at(unit_end.unwrap_or(after.len()));
            if number.is_empty() {
                return Err(DurationError::Number(text.to_owned()));
            }
            if unit.is_empty() {
                return Err(DurationError::NoUnit(text.to_owned()));
            }
            let unit = unit.trim();
            let (_, per_unit) = NANOS_PER_UNIT
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(|| DurationError::Unit(unit.to_owned()))?;
            let part =
                nanos(number, *per_unit).ok_or_else(|| DurationError::Number(text.to_owned()))?;
            total =
                total.checked_add(part).ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
            rest = after.trim_start();
        }
        let total = u64::try_from(total).map_err(|_| DurationError::TooLong(text.to_owned()))?;
        Ok(Self(std::time::Duration::from_nanos(total)))
    }
}

/// `1.5` of a unit in nanoseconds; `None` where the number is malformed or cannot be counted.
fn nanos(number: &str, per_unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || fraction.contains('.')
        || fraction.len() > MAX_FRACTION_DIGITS
    {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(per_unit)?;
    let mut scale = per_unit;
    for digit in fraction.chars().filter_map(|c| c.to_digit(10)) {
        scale /= 10;
        total = total.checked_add(scale.checked_mul(u128::from(digit))?)?;
    }
    Some(total)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, per_unit) in NANOS_PER_UNIT.iter().rev().filter(|(name, _)| *name != "µs") {
            let count = rest / per_unit;
            rest %= per_unit;
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(DURATION, Text)
    }
}

struct Text;

impl<'de> de::Visitor<'de> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 10s, 500ms or 1m30s")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back() {
        for (text, millis, back) in [
            ("10s", 10_000, "10s"),
            ("500ms", 500, "500ms"),
            ("1m30s", 90_000, "1m30s"),
            ("1.5h", 5_400_000, "1h30m"),
            (".5s", 500, "500ms"),
            ("70m", 4_200_000, "1h10m"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            (" 2 s ", 2_000, "2s"),
            ("1000000µs", 1_000, "1s"),
        ] {
            let read: Duration = text.parse().unwrap();
            assert_eq!(read.get(), std::time::Duration::from_millis(millis), "{text}");
            assert_eq!(read.to_string(), back, "{text}");
            assert_eq!(back.parse::<Duration>().unwrap(), read, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_a_hint() {
        for (text, expected) in [
            ("", "a duration is missing, write one such as 10s"),
            ("30", "30 has no unit, write for example 30s or 30ms"),
            ("10 parsecs", "\"parsecs\" is not a unit of time, use ns, us, ms, s, m or h"),
            ("soon", "\"soon\" is not a duration, write one such as 10s, 500ms or 1m30s"),
            ("-1s", "\"-1s\" is not a duration, write one such as 10s, 500ms or 1m30s"),
            ("1.2.3s", "\"1.2.3s\" is not a duration, write one such as 10s, 500ms or 1m30s"),
            (".s", "\".s\" is not a duration, write one such as 10s, 500ms or 1m30s"),
            ("9999999999h", "9999999999h is longer than 584 years"),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap_err().to_string(), expected, "{text}");
        }
    }
}
