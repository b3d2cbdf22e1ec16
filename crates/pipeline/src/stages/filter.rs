// SPDX-License-Identifier: Apache-2.0
//! Keeps what has certain attributes (`filter`).

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;
use vor_model::{Flow, Key};

use crate::{Attributed, Stage, flow};

/// What attributes must be like, by name in their OpenTelemetry or Prometheus spelling; all of it must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Patterns>")]
pub struct FilterRules(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    attribute: String,
    pattern: GlobMatcher,
    /// Whether it must fit, or must not.
    fits: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Patterns {
    r#match: Option<String>,
    not_match: Option<String>,
}

/// Why rules cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A pattern cannot be understood.
    #[error("{attribute}: {pattern:?} is not a glob: {why}")]
    Glob {
        /// Of which attribute.
        attribute: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: globset::Error,
    },
    /// There is nothing to look for.
    #[error("{0}: say what it is to match or not_match")]
    Empty(String),
    /// Nothing has such an attribute.
    #[error("flows have no attribute {0:?}")]
    Unknown(String),
}

impl TryFrom<BTreeMap<String, Patterns>> for FilterRules {
    type Error = FilterError;

    fn try_from(patterns: BTreeMap<String, Patterns>) -> Result<Self, FilterError> {
        let mut rules = Vec::new();
        for (attribute, Patterns { r#match, not_match }) in patterns {
            if r#match.is_none() && not_match.is_none() {
                return Err(FilterError::Empty(attribute));
            }
            for (pattern, fits) in [(r#match, true), (not_match, false)] {
                let Some(pattern) = pattern else { continue };
                let glob = Glob::new(&pattern).map_err(|why| {
                    let attribute = attribute.clone();
                    FilterError::Glob { attribute, pattern: pattern.clone(), why }
                })?;
                let pattern = glob.compile_matcher();
                rules.push(Rule { attribute: attribute.clone(), pattern, fits });
            }
        }
        Ok(Self(rules))
    }
}

/// The stage.
#[derive(Debug)]
pub struct Filter(Vec<(Key, Rule)>);

impl Filter {
    /// Keeps flows as `rules` say. `None`: there are none.
    pub fn of_flows(rules: &FilterRules) -> Result<Option<Self>, FilterError> {
        let known = |rule: &Rule| match flow::key(&rule.attribute) {
            Some(key) => Ok((key, rule.clone())),
            None => Err(FilterError::Unknown(rule.attribute.clone())),
        };
        let rules = rules.0.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        Ok((!rules.is_empty()).then_some(Self(rules)))
    }

    /// An attribute that is not there is like empty text.
    fn keeps(&self, item: &impl Attributed) -> bool {
        self.0.iter().all(|(key, rule)| {
            let value = item.attribute(key).map(|value| value.to_string()).unwrap_or_default();
            rule.pattern.is_match(value) == rule.fits
        })
    }
}

impl Stage<Flow> for Filter {
    fn name(&self) -> &'static str {
        "flow_filter"
    }

    fn apply(&mut self, batch: &mut Vec<Flow>) {
        batch.retain(|flow| self.keeps(flow));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::sample::flow;

    fn left(rules: &str) -> Result<Vec<u16>, FilterError> {
        let rules: FilterRules = serde_json::from_str(rules).unwrap();
        let mut batch = vec![flow("10.0.0.1:1", "10.0.0.2:80"), flow("10.1.0.1:1", "10.0.0.2:81")];
        if let Some(mut filter) = Filter::of_flows(&rules)? {
            filter.apply(&mut batch);
        }
        Ok(batch.iter().map(|flow| flow.key.dst.port).collect())
    }

    #[test]
    fn all_rules_must_hold_and_names_have_two_spellings() {
        for (rules, expected) in [
            ("{}", &[80, 81][..]),
            (r#"{"src.address": {"match": "10.0.*"}}"#, &[80]),
            (r#"{"dst_port": {"not_match": "80"}}"#, &[81]),
            (r#"{"dst_port": {"match": "8?", "not_match": "81"}}"#, &[80]),
            (r#"{"transport": {"match": "{TCP,UDP}"}, "src.zone": {"match": ""}}"#, &[80, 81]),
            (r#"{"src.zone": {"match": "?*"}}"#, &[]),
        ] {
            assert_eq!(left(rules).unwrap(), expected, "{rules}");
        }
    }

    #[test]
    fn rules_that_cannot_hold_are_refused() {
        let unknown = left(r#"{"src.adress": {"match": "*"}}"#).unwrap_err().to_string();
        assert_eq!(unknown, "flows have no attribute \"src.adress\"");
        for (rules, why) in [
            (r#"{"src.name": {}}"#, "src.name: say what"),
            (r#"{"src.name": {"match": "[a"}}"#, "src.name: \"[a\" is not a glob"),
            (r#"{"src.name": {"matches": "a"}}"#, "unknown field"),
        ] {
            let refused = serde_json::from_str::<FilterRules>(rules).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
