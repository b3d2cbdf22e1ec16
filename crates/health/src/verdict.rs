// SPDX-License-Identifier: Apache-2.0
//! What became of a unit.

use std::fmt;

/// What became of a unit: a tracer, an exporter, a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Active,
    /// It works in part; says what is missing and what that costs.
    Degraded(String),
    /// This machine cannot run it; says why.
    Unsupported(String),
    /// It should work and does not; says why.
    Failed(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Degraded(why) => write!(f, "degraded: {why}"),
            Self::Unsupported(why) => write!(f, "unsupported: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}
