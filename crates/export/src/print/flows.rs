// SPDX-License-Identifier: Apache-2.0
//! One line per flow: `network_flow:` and pairs, or JSON with the same keys.
//!
//! Every line has the same first keys, some of which may be empty; what else is known follows.

use std::fmt::{self, Write as _};
use std::io::Write;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, de};
use vor_model::{Flow, Value};
use vor_pipeline::flow::attributes;

/// Whether and how flows are printed: `false`, `true` (as spans are: in JSON when those are, else as text), `text` or
/// `json`. (`network.print_flows`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrintFlows {
    /// They are not.
    #[default]
    No,
    /// As spans are.
    Yes,
    /// As text.
    Text,
    /// In JSON.
    Json,
}

impl<'de> Deserialize<'de> for PrintFlows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Word)
    }
}

struct Word;

impl de::Visitor<'_> for Word {
    type Value = PrintFlows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of true, false, text, json")
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<PrintFlows, E> {
        Ok(if yes { PrintFlows::Yes } else { PrintFlows::No })
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<PrintFlows, E> {
        match word.to_ascii_lowercase().as_str() {
            "text" => Ok(PrintFlows::Text),
            "json" => Ok(PrintFlows::Json),
            "true" | "1" => Ok(PrintFlows::Yes),
            "false" | "0" => Ok(PrintFlows::No),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }
}

/// Writes a line of text about `flow`.
pub(super) fn text(flow: &Flow, to: &mut Vec<u8>) {
    let mut line = String::from("network_flow:");
    for (key, value) in attributes(flow) {
        // Writing to a String cannot fail.
        let _ = match value.as_str() {
            Some(text) => write!(line, " {key}={}", Plain(text)),
            None => write!(line, " {key}={value}"),
        };
    }
    line.push('\n');
    to.extend_from_slice(line.as_bytes());
}

/// Writes a line of JSON about `flow`.
pub(super) fn json(flow: &Flow, to: &mut Vec<u8>) {
    // Neither writing to a Vec nor serialising text can fail.
    let _ = serde_json::to_writer(&mut *to, &Object(flow)).map(|()| to.write_all(b"\n"));
}

/// Text without what would end a pair or a line: strangers choose names.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
        self.0.chars().try_for_each(|c| f.write_char(plain(c)))
    }
}

struct Object<'a>(&'a Flow);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (key, value) in attributes(self.0) {
            match value {
                Value::Word(text) => map.serialize_entry(key.as_str(), text)?,
                Value::Str(text) => map.serialize_entry(key.as_str(), &*text)?,
                Value::Int(number) => map.serialize_entry(key.as_str(), &number)?,
                Value::Float(number) => map.serialize_entry(key.as_str(), &number)?,
                Value::Bool(yes) => map.serialize_entry(key.as_str(), &yes)?,
                Value::List(texts) => {
                    let texts: Vec<_> = texts.iter().map(|text| &**text).collect();
                    map.serialize_entry(key.as_str(), &texts)?;
                }
            }
        }
        map.end()
    }
}
