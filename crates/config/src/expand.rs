// SPDX-License-Identifier: Apache-2.0
//! `${NAME}` and `${NAME:-default}` in the values of a settings file.
//!
//! Applied once, to values and not to keys; what a variable holds is not expanded again. `$${` stands for
//! a literal `${`; a `$` followed by anything else is a `$`, so regular expressions need no care.

use std::collections::HashMap;

use crate::{
    node::{Node, Value},
    yaml::MAX_TREE_BYTES,
};

/// What expanding a tree met.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    /// Variables that were asked for, are not set and have no default.
    pub(crate) missing: Vec<String>,
    bytes: usize,
}

impl Expanded {
    /// Expands every text below `node`; false when the result would be larger than a tree may be.
    pub(crate) fn tree(&mut self, node: &mut Node, env: &HashMap<String, String>) -> bool {
        match &mut node.value {
            Value::Text { text, .. } if text.contains("${") => {
                *text = self.text(text, env);
                self.bytes <= MAX_TREE_BYTES
            }
            Value::Text { .. } => true,
            Value::List(items) => items.iter_mut().all(|item| self.tree(item, env)),
            Value::Map(entries) => entries.iter_mut().all(|e| self.tree(&mut e.node, env)),
        }
    }

    fn text(&mut self, text: &str, env: &HashMap<String, String>) -> String {
        let mut out = String::with_capacity(text.len());
        let last_brace = text.rfind('}').unwrap_or(0);
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            out.push_str(before);
            // Beyond the last brace nothing is a reference; looking for a brace there for each `${` would
            // take time in the square of the length.
            let closed = text.len().saturating_sub(from.len()) < last_brace;
            let Some((name, default, after)) = closed.then(|| reference(from)).flatten() else {
                out.push_str("${");
                rest = from.get(2..).unwrap_or_default();
                continue;
            };
            match (env.get(name), default) {
                (Some(value), _) => out.push_str(value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => self.missing.push(name.to_owned()),
            }
            rest = after;
            if out.len() > MAX_TREE_BYTES {
                break;
            }
        }
        out.push_str(rest);
        self.bytes = self.bytes.saturating_add(out.len());
        out
    }
}

/// `${NAME}` or `${NAME:-default}` at the start of `text`: name, default, what follows.
fn reference(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let inside = text.strip_prefix("${")?;
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = inside.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(after) = rest.strip_prefix('}') {
        return Some((name, None, after));
    }
    let (default, after) = rest.strip_prefix(":-")?.split_once('}')?;
    Some((name, Some(default), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_everything_else_is_left_alone() {
        let env = HashMap::from([
            ("HOST".to_owned(), "web".to_owned()),
            ("LOOP".to_owned(), "${HOST}".to_owned()),
        ]);
        for (text, expected) in [
            ("${HOST}", "web"),
            ("http://${HOST}:${PORT:-80}/", "http://web:80/"),
            ("${HOST:-other}", "web"),
            ("${NONE:-}", ""),
            ("${NONE}", ""),
            ("${LOOP}", "${HOST}"),
            ("$${HOST}", "${HOST}"),
            ("$${", "${"),
            ("${HOST} $${ ${HOST", "web ${ ${HOST"),
            ("^(a$|b$)", "^(a$|b$)"),
            ("$HOST ${1x} ${} ${HOST", "$HOST ${1x} ${} ${HOST"),
        ] {
            assert_eq!(Expanded::default().text(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn many_unfinished_references_take_no_longer_than_reading_them() {
        for unfinished in ["${", "${A", "${A:-"] {
            let text = unfinished.repeat(200_000);
            assert_eq!(Expanded::default().text(&text, &HashMap::new()), text);
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_remembered() {
        let mut expanded = Expanded::default();
        expanded.text("${NONE} ${NONE2:-x}", &HashMap::new());
        assert_eq!(expanded.missing, ["NONE"]);
    }
}
