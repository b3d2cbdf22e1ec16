// SPDX-License-Identifier: Apache-2.0
//! Errors: what a value's type says against it, and what the loader hands out.

use std::{fmt, path::PathBuf};

use serde::de;

use crate::{
    names,
    node::{Origin, quoted},
};

/// Most problems that are listed; the rest are counted.
const MAX_LISTED: usize = 20;

/// Why no settings could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is too large.
    #[error("cannot read the settings file {}: {why}", file.display())]
    Unreadable {
        /// As given to the loader.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The file is not YAML, or more than one document, or nested too deeply.
    #[error("{}:{line}: not a settings file: {why}", file.display())]
    Malformed {
        /// As given to the loader.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// Keys or values are wrong; all of them, in the order of the settings.
    #[error("{}", listed(.0))]
    Settings(Vec<Problem>),
    /// Each value is right by itself, but not together with the others.
    #[error("{0}")]
    Conflict(String),
}

/// One wrong key or value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// YAML path, such as `ebpf.batch_timeout`.
    pub path: String,
    /// Where it was said.
    pub origin: Origin,
    /// What is wrong and what would be right.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, origin, why } = self;
        let path = if path.is_empty() { "settings" } else { path };
        write!(f, "{origin}: {path}: {why}")
    }
}

fn listed(problems: &[Problem]) -> String {
    let mut lines: Vec<_> = problems.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// A type's objection to a value, completed with the place by the innermost reader that knows it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) why: String,
    pub(crate) at: Option<(String, Origin)>,
}

impl Fault {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), at: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::new(why.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of {}{}", known.join(", "), meant(word, known)))
    }

    fn unknown_field(word: &str, known: &'static [&'static str]) -> Self {
        let near = meant(word, known);
        let hint = if near.is_empty() { format!("; known: {}", known.join(", ")) } else { near };
        Self::new(format!("unknown key {}{hint}", quoted(word)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(format!("the key {name} is missing"))
    }
}

fn meant(word: &str, known: &[&str]) -> String {
    names::nearest(word, known.iter().copied())
        .map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
