// SPDX-License-Identifier: Apache-2.0
//! How trace context is written, as people write it: `headers,tcp`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// Where the place of an outgoing request in its trace is written. Nowhere, unless it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Propagation {
    /// Into the heads of HTTP/1 requests in clear text.
    pub headers: bool,
    /// Into options of TCP segments.
    pub tcp: bool,
}

impl Propagation {
    /// Nowhere.
    pub const DISABLED: Self = Self { headers: false, tcp: false };
    /// Wherever it is possible.
    pub const ALL: Self = Self { headers: true, tcp: true };

    /// What either of the two asks for.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { headers: self.headers || other.headers, tcp: self.tcp || other.tcp }
    }

    /// Whether anything is written.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.headers || self.tcp
    }
}

/// Why a text does not say how trace context is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropagationError {
    /// A word that means nothing here.
    #[error("{0:?} is none of headers, tcp, headers,tcp, all, disabled")]
    Word(String),
    /// Both something and nothing.
    #[error("{0:?} says `disabled` and something else")]
    Both(String),
}

impl FromStr for Propagation {
    type Err = PropagationError;

    fn from_str(text: &str) -> Result<Self, PropagationError> {
        let mut wanted = Self::DISABLED;
        let mut disabled = false;
        for word in text.split(',').map(|word| word.trim().to_ascii_lowercase()) {
            match word.as_str() {
                "headers" => wanted.headers = true,
                "tcp" => wanted.tcp = true,
                "all" => wanted = Self::ALL,
                "disabled" => disabled = true,
                // Beyla's option in IP packets, which middleboxes drop: accepted by its successors, too, and no longer written.
                "ip" => {}
                _ => return Err(PropagationError::Word(text.to_owned())),
            }
        }
        if disabled && wanted.is_any() {
            return Err(PropagationError::Both(text.to_owned()));
        }
        Ok(wanted)
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.headers, self.tcp) {
            (false, false) => "disabled",
            (true, false) => "headers",
            (false, true) => "tcp",
            (true, true) => "all",
        })
    }
}

impl<'de> Deserialize<'de> for Propagation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_the_reference() {
        let both = Propagation { headers: true, tcp: true };
        for (text, wanted) in [
            ("headers", Propagation { headers: true, tcp: false }),
            ("tcp", Propagation { headers: false, tcp: true }),
            ("headers,tcp", both),
            ("TCP, headers", both),
            ("all", both),
            ("disabled", Propagation::DISABLED),
            ("ip", Propagation::DISABLED),
            ("headers,ip", Propagation { headers: true, tcp: false }),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
            assert_eq!(wanted.to_string().parse(), Ok(wanted));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["", "header", "disabled,tcp", "all,disabled", "true", "tcp;headers"] {
            assert!(text.parse::<Propagation>().is_err(), "{text}");
        }
    }
}
