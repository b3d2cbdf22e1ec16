// SPDX-License-Identifier: Apache-2.0
//! Value tree → typed settings: a serde deserialiser that lets each type read the text it was given.
//!
//! A list may be written as comma-separated text (`a,b`) and a map as `k=v,k2=v2`: that is how variables
//! and flags write them. Every fault leaves here with the path and the origin of the value.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use crate::{
    fault::Fault,
    node::{Entry, Node, Origin, Value, quoted},
    value::{DURATION, SECRET},
};

/// Words in a path that keep its value out of messages.
const TELLING: [&str; 5] = ["header", "key", "secret", "token", "password"];

/// What reading a tree brought to light about single settings, by YAML path.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Settings that hold a secret anywhere inside.
    pub(crate) secret: RefCell<BTreeSet<String>>,
    /// Durations that were given in milliseconds without a unit, written with it.
    pub(crate) rewritten: RefCell<BTreeMap<String, String>>,
}

/// The way from the root to a value.
#[derive(Clone, Copy)]
enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Item(&'a Trail<'a>, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

/// Reads one value of the tree.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    node: &'a Node,
    trail: Trail<'a>,
    notes: &'a Notes,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(root: &'a Node, notes: &'a Notes) -> Self {
        Self { node: root, trail: Trail::Root, notes }
    }

    /// Gives a fault the place and the value it is about, unless it already has one.
    fn blame(&self, mut fault: Fault) -> Fault {
        if fault.at.is_some() {
            return fault;
        }
        let path = self.trail.to_string();
        let told = match &self.node.value {
            Value::Text { text, .. } => fault.why.contains(&quoted(text)),
            Value::List(_) | Value::Map(_) => false,
        };
        if !told && !self.hidden(&path) {
            fault.why = format!("{}, found {}", fault.why, self.node.shown());
        }
        fault.at = Some((path, self.node.origin.clone()));
        fault
    }

    /// A setting known to be secret, or one whose name says so before its type could.
    fn hidden(&self, path: &str) -> bool {
        let secret = self.notes.secret.borrow();
        secret.iter().any(|known| path.starts_with(known.as_str()))
            || TELLING.iter().any(|word| path.contains(word))
    }

    fn text(&self, expected: impl fmt::Display) -> Result<&'a str, Fault> {
        match &self.node.value {
            Value::Text { text, .. } if !self.node.is_null() => Ok(text),
            _ => Err(Fault::new(format!("expected {expected}"))),
        }
    }

    fn expected_by(&self, visitor: &dyn de::Expected) -> Result<&'a str, Fault> {
        self.text(visitor)
    }

    fn number<T: std::str::FromStr>(&self, expected: impl fmt::Display) -> Result<T, Fault> {
        let text = self.text(&expected)?;
        text.trim().parse().map_err(|_| Fault::new(format!("expected {expected}")))
    }

    fn any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let (text, plain) = match &self.node.value {
            Value::List(items) => return self.list(items, visitor),
            Value::Map(entries) => return self.map(entries, visitor),
            Value::Text { .. } if self.node.is_null() => return visitor.visit_unit(),
            Value::Text { text, plain } => (text, plain),
        };
        match (plain, text.as_str()) {
            (true, "true") => visitor.visit_bool(true),
            (true, "false") => visitor.visit_bool(false),
            (true, text) if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                if let Ok(number) = text.parse::<u64>() {
                    visitor.visit_u64(number)
                } else if let Ok(number) = text.parse::<i64>() {
                    visitor.visit_i64(number)
                } else if let Ok(number) = text.parse::<f64>() {
                    visitor.visit_f64(number)
                } else {
                    visitor.visit_str(text)
                }
            }
            (_, text) => visitor.visit_str(text),
        }
    }

    fn list<'de, V: Visitor<'de>>(&self, items: &[Node], visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Items { reader: *self, nodes: items, next: 0 })
    }

    fn map<'de, V: Visitor<'de>>(&self, entries: &[Entry], visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(Entries { reader: *self, rest: entries.iter(), now: None })
    }

    /// `a,b` as a list.
    fn split(&self, text: &str) -> Vec<Node> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| Node::text(part, self.node.origin.clone())).collect()
    }

    /// `k=v,k2=v2` as a map.
    fn pairs(&self, text: &str) -> Result<Vec<Entry>, Fault> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let entry = |part: &str| {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                Fault::new("expected a section, or text such as key=value,key2=value2")
            })?;
            let at = self.node.origin.clone();
            let node = Node::text(value.trim(), at.clone());
            Ok(Entry { key: key.trim().to_owned(), at, node })
        };
        parts.map(entry).collect()
    }

    /// OpenTelemetry's own variables count in milliseconds.
    fn in_millis(&self) -> Option<String> {
        let Value::Text { text, .. } = &self.node.value else { return None };
        let standard = matches!(&self.node.origin, Origin::Env(name)
            if name.starts_with("OTEL_") && !name.starts_with("OTEL_EBPF_"));
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (standard && bare).then(|| format!("{text}ms"))
    }

    fn newtype<'de, V: Visitor<'de>>(self, name: &str, visitor: V) -> Result<V::Value, Fault> {
        let path = || self.trail.to_string();
        if name == SECRET {
            self.notes.secret.borrow_mut().insert(path());
        }
        match self.in_millis().filter(|_| name == DURATION) {
            Some(text) => {
                self.notes.rewritten.borrow_mut().insert(path(), text.clone());
                visitor.visit_str(&text)
            }
            None => visitor.visit_newtype_struct(self),
        }
    }

    fn bool<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.text("true or false")?;
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "t" | "1" => visitor.visit_bool(true),
            "false" | "no" | "off" | "f" | "0" => visitor.visit_bool(false),
            _ => Err(Fault::new("expected true or false")),
        }
    }

    fn choice<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text { text, .. } => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(entries) if entries.len() == 1 => {
                let entries = Entries { reader: *self, rest: entries.iter(), now: None };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(entries))
            }
            Value::Map(_) | Value::List(_) => Err(Fault::new("expected one word")),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $number:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let expected =
                format_args!("a whole number from {} to {}", <$number>::MIN, <$number>::MAX);
            self.number(expected)
                .and_then(|number| visitor.$visit(number))
                .map_err(|fault| self.blame(fault))
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.expected_by(&visitor)
                .and_then(|text| visitor.visit_str(text))
                .map_err(|fault| self.blame(fault))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    whole_numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier
    deserialize_bytes deserialize_byte_buf }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.any(visitor).map_err(|fault| self.blame(fault))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.bool(visitor).map_err(|fault| self.blame(fault))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number("a number")
            .and_then(|number| visitor.visit_f64(number))
            .map_err(|fault| self.blame(fault))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.newtype(name, visitor).map_err(|fault| self.blame(fault))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(items) => self.list(items, visitor),
            Value::Text { text, .. } => self.list(&self.split(text), visitor),
            Value::Map(_) => Err(Fault::new("expected a list")),
        }
        .map_err(|fault| self.blame(fault))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, v: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(v)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => self.map(entries, visitor),
            Value::Text { text, .. } => {
                self.pairs(text).and_then(|entries| self.map(&entries, visitor))
            }
            Value::List(_) => Err(Fault::new("expected a section with keys")),
        }
        .map_err(|fault| self.blame(fault))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => self.map(entries, visitor),
            Value::Text { .. } | Value::List(_) => Err(Fault::new("expected a section with keys")),
        }
        .map_err(|fault| self.blame(fault))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.choice(visitor).map_err(|fault| self.blame(fault))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    nodes: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let trail = Trail::Item(&self.reader.trail, self.next);
        self.next += 1;
        seed.deserialize(Reader { node, trail, notes: self.reader.notes }).map(Some)
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, Entry>,
    now: Option<&'a Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.now = self.rest.next();
        let Some(entry) = self.now else { return Ok(None) };
        let at = Some((self.reader.trail.to_string(), entry.at.clone()));
        let key = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault: Fault| Fault { at, ..fault })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.now else { return Err(Fault::new("a value without a key")) };
        let trail = Trail::Key(&self.reader.trail, &entry.key);
        seed.deserialize(Reader { node: &entry.node, trail, notes: self.reader.notes })
    }
}
