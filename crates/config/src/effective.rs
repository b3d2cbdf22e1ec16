// SPDX-License-Identifier: Apache-2.0
//! The settings in force as a YAML file: each key with a comment that says where its value comes from.
//!
//! The output is itself a settings file and reads back to the same settings. A secret is never written:
//! its key stands there as a comment.

use std::fmt::{self, Write};

use crate::{
    node::{Entry, Node, Value, null_word},
    read::Notes,
};

/// One key and the value that won, if any layer has one.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) path: String,
    pub(crate) node: Option<Node>,
}

impl Setting {
    /// The tree with nothing but this setting.
    pub(crate) fn alone(&self) -> Option<Node> {
        let mut node = self.node.clone()?;
        for key in self.path.rsplit('.') {
            let origin = node.origin.clone();
            let entry = Entry { key: key.to_owned(), at: origin.clone(), node };
            node = Node { value: Value::Map(vec![entry]), origin };
        }
        Some(node)
    }
}

/// All settings in their order; displays as YAML.
#[derive(Debug)]
pub struct Effective {
    lines: String,
}

impl Effective {
    pub(crate) fn new(settings: Vec<Setting>, notes: &Notes) -> Self {
        let mut lines = String::new();
        let mut section: Vec<String> = Vec::new();
        for mut setting in settings {
            let mut keys: Vec<String> = setting.path.split('.').map(str::to_owned).collect();
            let name = keys.pop().unwrap_or_default();
            let shared = section.iter().zip(&keys).take_while(|(a, b)| a == b).count();
            for (depth, key) in keys.iter().enumerate().skip(shared) {
                line(&mut lines, depth, &format!("{key}:"));
            }
            let depth = keys.len();
            section = keys;
            if let Some(text) = notes.rewritten.borrow().get(&setting.path)
                && let Some(node) = &mut setting.node
            {
                node.value = Value::Text { text: text.clone(), plain: true };
            }
            let secret = notes.secret.borrow();
            let hidden = secret.iter().any(|path| inside(path, &setting.path));
            match &setting.node {
                None => line(&mut lines, depth, &format!("# {name}: not set")),
                Some(node) if hidden => {
                    line(&mut lines, depth, &format!("# {name}: hidden  # {}", node.origin));
                }
                Some(node) => top(&mut lines, depth, &name, node),
            }
        }
        Self { lines }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines)
    }
}

/// True when `path` is `setting` or lies in it.
fn inside(path: &str, setting: &str) -> bool {
    path.strip_prefix(setting).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn line(out: &mut String, depth: usize, text: &str) {
    for _ in 0..depth {
        out.push_str("  ");
    }
    out.push_str(text);
    out.push('\n');
}

fn top(out: &mut String, depth: usize, name: &str, node: &Node) {
    let origin = &node.origin;
    if let Some(value) = one_line(node) {
        return line(out, depth, &format!("{name}: {value}  # {origin}"));
    }
    line(out, depth, &format!("{name}:  # {origin}"));
    below(out, depth + 1, &node.value);
}

fn one_line(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text { .. } if node.is_null() => Some("~".to_owned()),
        Value::Text { text, plain } => Some(scalar(text, *plain)),
        Value::List(items) if items.is_empty() => Some("[]".to_owned()),
        Value::Map(entries) if entries.is_empty() => Some("{}".to_owned()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The lines of a list or map that is not empty.
fn below(out: &mut String, depth: usize, value: &Value) {
    let (marks, nodes): (Vec<String>, Vec<&Node>) = match value {
        Value::Text { .. } => return,
        Value::List(items) => items.iter().map(|item| ("-".to_owned(), item)).unzip(),
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}:", scalar(&entry.key, false));
            entries.iter().map(|e| (entry(e), &e.node)).unzip()
        }
    };
    for (mark, node) in marks.iter().zip(nodes) {
        if let Some(text) = one_line(node) {
            line(out, depth, &format!("{mark} {text}"));
        } else {
            line(out, depth, mark);
            below(out, depth + 1, &node.value);
        }
    }
}

/// `text` as a YAML scalar: bare where that cannot be misread, else in double quotes.
fn scalar(text: &str, plain: bool) -> String {
    const SAFE: &str = "_-./:%*+";
    let word = text.chars().all(|c| c.is_ascii_alphanumeric() || SAFE.contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_')
        && !text.ends_with(':');
    let typed = text.parse::<f64>().is_ok()
        || text.starts_with("0x")
        || text.starts_with("0o")
        || ["true", "false", "null"].contains(&text.to_lowercase().as_str());
    if word && (plain || !typed) && !null_word(text) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || "\u{2028}\u{2029}\u{feff}".contains(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A default on one line, as the reference shows it.
pub(crate) fn inline(node: &Node) -> String {
    match &node.value {
        Value::Text { text, .. } if text.is_empty() => "\"\"".to_owned(),
        Value::Text { text, .. } => text.clone(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", entry.key, inline(&entry.node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
