// SPDX-License-Identifier: Apache-2.0
//! Attributes: a small ordered list of keys and values.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

/// Name of an attribute, in the words of the semantic conventions (`http.request.method`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Cow<'static, str>);

impl Key {
    /// A key known when vor was built.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Key {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text that does not change while vor runs.
    Word(&'static str),
    /// Text.
    Str(Arc<str>),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// Several texts.
    List(Arc<[Arc<str>]>),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Word(text) => Some(text),
            Self::Str(text) => Some(text),
            Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::List(_) => None,
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Word(_) | Self::Str(_) | Self::Float(_) | Self::Bool(_) | Self::List(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) => f.write_str(text),
            Self::Str(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(yes) => yes.fmt(f),
            // As OpenTelemetry has it where an attribute can only be text.
            Self::List(texts) => f.debug_list().entries(texts.iter()).finish(),
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Word(text)
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}
impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Str(text)
    }
}
impl From<Vec<Arc<str>>> for Value {
    fn from(texts: Vec<Arc<str>>) -> Self {
        Self::List(texts.into())
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
/// What no attribute can say is the largest number.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(number.try_into().unwrap_or(i64::MAX))
    }
}
impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}
impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

/// Attributes in the order they were first set; setting again replaces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attrs(SmallVec<[(Key, Value); 8]>);

impl Attrs {
    /// No attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`; the last writer wins.
    pub fn set(&mut self, key: Key, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// The same, as one step of a chain.
    #[must_use]
    pub fn with(mut self, key: Key, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// Takes `key` away.
    pub fn remove(&mut self, key: &Key) {
        self.0.retain(|(known, _)| known != key);
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Key, Value)> for Attrs {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(pairs: I) -> Self {
        let mut attrs = Self::new();
        pairs.into_iter().for_each(|(key, value)| attrs.set(key, value));
        attrs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_writer_wins_and_keeps_the_place_of_the_first() {
        const A: Key = Key::new("a");
        const B: Key = Key::new("b");
        let attrs = Attrs::new().with(A, 1_i64).with(B, "x").with(A, 2_i64);
        let seen: Vec<_> = attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(seen, ["a=2", "b=x"]);
    }
}
