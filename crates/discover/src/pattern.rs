// SPDX-License-Identifier: Apache-2.0
//! How people write which executables they mean.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Deserializer, de};

/// A regular expression that may match anywhere in a path.
#[derive(Debug, Clone)]
pub struct Regexp(regex::Regex);

/// A shell pattern that must match a whole path; `*` matches `/` as well.
#[derive(Debug, Clone)]
pub struct Glob(GlobMatcher);

impl Regexp {
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

impl Glob {
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

impl<'de> Deserialize<'de> for Regexp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = written(from)?;
        let read = regex::Regex::new(&text);
        read.map(Self).map_err(|error| unreadable("a regular expression", &text, &error))
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = written(from)?;
        let read = GlobBuilder::new(&text).literal_separator(false).backslash_escape(true).build();
        read.map(|glob| Self(glob.compile_matcher()))
            .map_err(|error| unreadable("a glob", &text, error.kind()))
    }
}

/// An empty expression would match every path, which nobody means.
fn written<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Err(de::Error::custom("an empty pattern matches nothing, leave the key out"));
    }
    Ok(text)
}

fn unreadable<E: de::Error>(kind: &str, text: &str, why: &dyn fmt::Display) -> E {
    // The explanation of a regular expression's fault is a drawing of several lines; the last one tells.
    let why = why.to_string();
    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
    E::custom(format!("{text:?} is not {kind}: {why}"))
}
