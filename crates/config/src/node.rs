// SPDX-License-Identifier: Apache-2.0
//! The value tree: what a file, a variable or a flag said, as text, with its origin.
//!
//! Scalars stay text until a setting's type asks for a number, a bool or a duration, so `version: 1.10`
//! is `1.10` to a text setting and nothing depends on what YAML would guess.

use std::{fmt, path::Path, sync::Arc};

/// Longest part of a value that a message shows.
const SHOWN_CHARS: usize = 60;

/// Where a value comes from, from the weakest to the strongest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The settings file.
    File {
        /// As given to the loader.
        file: Arc<Path>,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its full name.
    Env(String),
    /// A command-line flag, by its name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One value and where it was said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `plain` is false for quoted text, which is never null.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map; its line is in `node`'s origin only when the value stands on the same line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Origin,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn text(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: Value::Text { text: text.into(), plain: true }, origin }
    }

    /// True for what YAML calls null: nothing, `~` or `null` without quotes. Variables and flags are text.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.origin, Origin::File { .. })
            && matches!(&self.value, Value::Text { text, plain: true } if null_word(text))
    }

    /// The value as a message shows it: text in quotes and cut, anything else by its kind.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            Value::Text { .. } if self.is_null() => "empty".to_owned(),
            Value::Text { text, .. } => quoted(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a section".to_owned(),
        }
    }
}

/// True for a text that YAML reads as null unless it is quoted.
pub(crate) fn null_word(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// `text` in quotes, cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    if text.chars().nth(SHOWN_CHARS).is_none() {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{head:?}…")
}
