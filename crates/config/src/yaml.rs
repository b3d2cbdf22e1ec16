// SPDX-License-Identifier: Apache-2.0
//! A settings file → value tree with lines.
//!
//! In: UTF-8 text of one YAML document. Out: [`Node`]s. Anchors, aliases and merge keys (`<<`) work;
//! what copying them costs counts against the same limits as what is written out, so a small file
//! cannot become a large tree.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::node::{Entry, Node, Origin, Value};

/// Largest settings file that is read, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most bytes of text in a tree, copies and expanded variables included.
pub(crate) const MAX_TREE_BYTES: usize = 4 << 20;
const MAX_NODES: usize = 20_000;
const MAX_DEPTH: usize = 64;

/// Why a text is not a settings file, and on which line (from 1; 0 for the text as a whole).
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// The document in `text`; `None` when it is empty.
pub(crate) fn parse(file: &Arc<Path>, text: &str) -> Result<Option<Node>, Malformed> {
    let mut builder = Builder::new(file);
    for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let (event, span) = event.map_err(|error| Malformed {
            line: error.marker().line(),
            why: error.info().to_owned(),
        })?;
        builder.line = span.start.line();
        builder.take(event)?;
    }
    Ok(builder.root)
}

struct Builder<'f> {
    file: &'f Arc<Path>,
    line: usize,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    bytes: usize,
}

/// A list or map whose end has not been seen.
struct Open {
    anchor: usize,
    line: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashSet<String>, key: Option<(String, Origin)> },
}

impl<'f> Builder<'f> {
    fn new(file: &'f Arc<Path>) -> Self {
        Self {
            file,
            line: 0,
            documents: 0,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            nodes: 0,
            bytes: 0,
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), Malformed> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.malformed("a second document begins, one is read"));
                }
                Ok(())
            }
            Event::Alias(anchor) => {
                let copy = self.anchors.get(&anchor).cloned();
                let copy = copy.ok_or_else(|| self.malformed("this alias has no anchor"))?;
                self.weigh(&copy, self.open.len())?;
                self.place(copy, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && self.plain_by_tag(tag.as_deref())?;
                let value = Value::Text { text: text.into_owned(), plain };
                let node = Node { value, origin: self.here(self.line) };
                self.weigh(&node, self.open.len())?;
                self.place(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_by_tag(tag.as_deref())?;
                self.begin(anchor, Kind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_by_tag(tag.as_deref())?;
                let kind = Kind::Map { entries: Vec::new(), seen: HashSet::new(), key: None };
                self.begin(anchor, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    /// False where a tag makes plain text a string; tags of other programs are refused.
    fn plain_by_tag(&self, tag: Option<&Tag>) -> Result<bool, Malformed> {
        match tag {
            None => Ok(true),
            Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix != "str"),
            Some(tag) => Err(self.malformed(format!("the tag {tag} has no meaning here"))),
        }
    }

    fn begin(&mut self, anchor: usize, kind: Kind) -> Result<(), Malformed> {
        self.nodes += 1;
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.open.push(Open { anchor, line: self.line, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Malformed> {
        let Some(open) = self.open.pop() else {
            return Err(self.malformed("a list or section ends that never began"));
        };
        let value = match open.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map { entries, .. } => Value::Map(entries),
        };
        self.place(Node { value, origin: self.here(open.line) }, open.anchor)
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        if anchor != 0 {
            self.weigh(&node, self.open.len())?;
            self.anchors.insert(anchor, node.clone());
        }
        let at = self.here(self.line);
        let placed = match self.open.last_mut().map(|open| &mut open.kind) {
            None => {
                self.root = Some(node);
                Ok(())
            }
            Some(Kind::List(items)) => {
                items.push(node);
                Ok(())
            }
            Some(Kind::Map { entries, seen, key }) => match key.take() {
                None => set_key(node, at, key),
                Some((name, at)) => add_entry(entries, seen, Entry { key: name, at, node }),
            },
        };
        placed.map_err(|why| self.malformed(why))
    }

    /// Counts `node` with all it holds, at `depth` below the root.
    fn weigh(&mut self, node: &Node, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES || self.bytes > MAX_TREE_BYTES {
            return Err(self.malformed("more values than a settings file can hold"));
        }
        match &node.value {
            Value::Text { text, .. } => self.bytes += text.len(),
            Value::List(items) => {
                for item in items {
                    self.weigh(item, depth + 1)?;
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    self.bytes += entry.key.len();
                    self.weigh(&entry.node, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn here(&self, line: usize) -> Origin {
        Origin::File { file: Arc::clone(self.file), line }
    }

    fn too_deep(&self) -> Malformed {
        self.malformed(format!("nested deeper than {MAX_DEPTH} levels"))
    }

    fn malformed(&self, why: impl Into<String>) -> Malformed {
        Malformed { line: self.line, why: why.into() }
    }
}

fn set_key(node: Node, at: Origin, key: &mut Option<(String, Origin)>) -> Result<(), String> {
    let Value::Text { text, .. } = node.value else {
        return Err("a key must be text, not a list or section".to_owned());
    };
    *key = Some((text, at));
    Ok(())
}

fn add_entry(
    entries: &mut Vec<Entry>,
    seen: &mut HashSet<String>,
    entry: Entry,
) -> Result<(), String> {
    if entry.key == "<<" {
        return merge(entries, seen, entry.node);
    }
    // A key written out wins over one merged in, wherever the merge stands.
    if entries.len() > seen.len() && !seen.contains(&entry.key) {
        entries.retain(|merged| merged.key != entry.key);
    }
    if !seen.insert(entry.key.clone()) {
        return Err(format!("{} is set twice", crate::node::quoted(&entry.key)));
    }
    entries.push(entry);
    Ok(())
}

/// Takes over the entries of a merged map (or of each in a list) that are not there yet.
fn merge(entries: &mut Vec<Entry>, seen: &HashSet<String>, from: Node) -> Result<(), String> {
    match from.value {
        Value::Map(merged) => {
            for entry in merged {
                let there = seen.contains(&entry.key) || entries.iter().any(|e| e.key == entry.key);
                if !there {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Value::List(sources) => sources.into_iter().try_for_each(|one| merge(entries, seen, one)),
        Value::Text { .. } => Err("<< takes a section or a list of sections".to_owned()),
    }
}
