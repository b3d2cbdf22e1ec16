// SPDX-License-Identifier: Apache-2.0
//! Reference text: one entry per key with its path, variables, default and doc comment, in Markdown.

use std::fmt::Write;

use confique::meta::{FieldKind, LeafKind, Meta};

use crate::{load::join, names};

/// The reference of all keys of `meta`, sections in their order, below `preface`.
#[must_use]
pub fn reference(preface: &str, meta: &Meta) -> String {
    let mut out = preface.trim_end().to_owned();
    out.push('\n');
    section(&mut out, meta, "");
    out
}

fn section(out: &mut String, meta: &Meta, above: &str) {
    // Plain keys first: a section's heading would swallow those that follow it.
    for field in meta.fields {
        if let FieldKind::Leaf { env, kind } = field.kind {
            heading(out, "###", &join(above, names::key(field)), field.doc);
            let _ = write!(out, "\n{}", default(kind));
            if let Some(declared) = env {
                let _ = write!(out, " · environment {}", variables(declared));
            }
            out.push('\n');
        }
    }
    for field in meta.fields {
        if let FieldKind::Nested { meta } = field.kind {
            let path = join(above, names::key(field));
            let doc = if field.doc.is_empty() { meta.doc } else { field.doc };
            heading(out, "##", &path, doc);
            section(out, meta, &path);
        }
    }
}

fn heading(out: &mut String, level: &str, path: &str, doc: &[&str]) {
    let _ = write!(out, "\n{level} `{path}`\n");
    if !doc.is_empty() {
        out.push('\n');
    }
    for line in doc {
        let _ = writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(line).trim_end());
    }
}

fn default(kind: LeafKind) -> String {
    match kind {
        LeafKind::Optional => "Default: not set".to_owned(),
        LeafKind::Required { default: None } => "Must be set".to_owned(),
        LeafKind::Required { default: Some(value) } => {
            format!("Default: `{}`", crate::effective::inline(&crate::load::default(&value)))
        }
    }
}

fn variables(declared: &str) -> String {
    let names: Vec<_> = names::variables(declared).iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
