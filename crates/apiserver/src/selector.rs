// SPDX-License-Identifier: Apache-2.0
//! Label and field selectors.

use serde_json::Value;

use crate::refusal::Refusal;

/// Which objects are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    key: String,
    demand: Demand,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Demand {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// Fields by which objects can be selected.
const FIELDS: [(&str, &str); 4] = [
    ("metadata.name", "/metadata/name"),
    ("metadata.namespace", "/metadata/namespace"),
    ("spec.nodeName", "/spec/nodeName"),
    ("status.phase", "/status/phase"),
];

impl Selector {
    /// The selector that the two query parameters write.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        let labels = terms(labels)?;
        let fields = terms(fields)?;
        for term in &fields {
            if !FIELDS.iter().any(|(name, _)| *name == term.key) {
                let message = format!("field label not supported: {}", term.key);
                return Err(Refusal::bad_request(message));
            }
            if matches!(term.demand, Demand::Exists | Demand::Absent) {
                return Err(Refusal::bad_request("invalid field selector"));
            }
        }
        Ok(Self { labels, fields })
    }

    pub(crate) fn wants(&self, object: &Value) -> bool {
        let labels = self
            .labels
            .iter()
            .all(|term| term.accepts(object["metadata"]["labels"][&term.key].as_str()));
        labels
            && self.fields.iter().all(|term| {
                let path = FIELDS.iter().find(|(name, _)| *name == term.key).map_or("", |f| f.1);
                let value = object.pointer(path).and_then(Value::as_str);
                term.accepts(Some(value.unwrap_or_default()))
            })
    }
}

impl Term {
    fn accepts(&self, value: Option<&str>) -> bool {
        let among = |list: &Vec<String>| value.is_some_and(|v| list.iter().any(|item| item == v));
        match &self.demand {
            Demand::In(list) => among(list),
            Demand::NotIn(list) => !among(list),
            Demand::Exists => value.is_some(),
            Demand::Absent => value.is_none(),
        }
    }
}

fn terms(text: &str) -> Result<Vec<Term>, Refusal> {
    top_level(text).into_iter().map(str::trim).filter(|part| !part.is_empty()).map(term).collect()
}

/// Parts between commas that stand in no parentheses.
fn top_level(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn term(text: &str) -> Result<Term, Refusal> {
    let made = |key: &str, demand| Ok(Term { key: key.trim().to_owned(), demand });
    let one = |value: &str| vec![value.trim().to_owned()];
    for (word, not) in [(" notin ", true), (" in ", false)] {
        if let Some((key, list)) = text.split_once(word) {
            let list = list.trim().trim_start_matches('(').trim_end_matches(')');
            let list = list.split(',').map(|item| item.trim().to_owned()).collect();
            return made(key, if not { Demand::NotIn(list) } else { Demand::In(list) });
        }
    }
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, Demand::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key, Demand::In(one(value)));
    }
    match text.strip_prefix('!') {
        Some(key) => made(key, Demand::Absent),
        None if text.contains(' ') => {
            Err(Refusal::bad_request(format!("unable to parse requirement: {text}")))
        }
        None => made(text, Demand::Exists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_way_to_write_a_requirement_selects() {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "n1"},
        });
        for (labels, fields, wanted) in [
            ("", "", true),
            ("app=web", "", true),
            ("app==api", "", false),
            ("app!=api,tier", "", true),
            ("!tier", "", false),
            ("app in (api, web),tier=front", "", true),
            ("app notin (web)", "", false),
            ("", "spec.nodeName=n1", true),
            ("", "spec.nodeName!=n1", false),
            ("", "metadata.name=q", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.wants(&pod), wanted, "{labels} {fields}");
        }
        assert!(Selector::parse("", "spec.colour=red").is_err());
        assert!(Selector::parse("a b c", "").is_err());
    }
}
