// SPDX-License-Identifier: Apache-2.0
//! Resource attributes as `OTEL_RESOURCE_ATTRIBUTES` writes them: `key=value,key2=value2`, with anything
//! outside of baggage octets percent-encoded (OpenTelemetry specification, Resource SDK).

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de};

/// Attributes taken of one text; the rest is passed over.
const MAX_ATTRIBUTES: usize = 128;

/// Bytes of a key or a value; a longer one is passed over.
pub(crate) const MAX_TEXT: usize = 1024;

/// Resource attributes in the order they were written, each key once, keys and values of 1 to 1024 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceAttributes(Vec<(String, String)>);

impl ResourceAttributes {
    /// Reads a text. What is not a pair is passed over: the text belongs to a stranger.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut attributes = Self::default();
        for pair in text.split(',').take(MAX_ATTRIBUTES) {
            let Some((key, value)) = pair.split_once('=') else { continue };
            if let Ok(value) = percent_decode_str(value.trim()).decode_utf8() {
                attributes.set(key.trim(), &value);
            }
        }
        attributes
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn set(&mut self, key: &str, value: &str) {
        if [key, value].iter().any(|text| text.is_empty() || text.len() > MAX_TEXT) {
            return;
        }
        self.0.retain(|(known, _)| known != key);
        self.0.push((key.to_owned(), value.to_owned()));
    }
}

impl<'de> Deserialize<'de> for ResourceAttributes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrSection)
    }
}

struct TextOrSection;

impl<'de> de::Visitor<'de> for TextOrSection {
    type Value = ResourceAttributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attributes such as deployment.environment=test,team=shop")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ResourceAttributes, E> {
        Ok(ResourceAttributes::read(text))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut keys: A) -> Result<ResourceAttributes, A::Error> {
        let mut attributes = ResourceAttributes::default();
        while let Some((key, value)) = keys.next_entry::<String, String>()? {
            attributes.set(&key, &value);
        }
        Ok(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_what_is_none_is_passed_over() {
        let read = ResourceAttributes::read(" team = shop ,a=1%2C2,,=x,b=,no pair,c=%FF,a=3");
        assert_eq!(read.iter().collect::<Vec<_>>(), [("team", "shop"), ("a", "3")]);
        assert_eq!(read.get("a"), Some("3"));
        assert_eq!(read.get("b"), None);
    }
}
