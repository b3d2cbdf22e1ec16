// SPDX-License-Identifier: Apache-2.0
//! Which attributes of a family become labels (`attributes.select`).

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;
use vor_model::{Family, Key};

use crate::config::Prefix;

/// Rules by name of metric, in its OpenTelemetry or Prometheus spelling; names may be globs.
///
/// A family shows its own labels, or, when a rule for it includes something, exactly that; without what a rule for it
/// excludes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Patterns>")]
pub struct Select(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    metric: GlobMatcher,
    include: Vec<GlobMatcher>,
    exclude: Vec<GlobMatcher>,
}

/// Attributes by name or glob, in either spelling.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Patterns {
    include: Vec<String>,
    exclude: Vec<String>,
}

/// A pattern that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{pattern:?} is not a glob: {why}")]
pub struct SelectError {
    pattern: String,
    why: globset::Error,
}

impl TryFrom<BTreeMap<String, Patterns>> for Select {
    type Error = SelectError;

    fn try_from(rules: BTreeMap<String, Patterns>) -> Result<Self, SelectError> {
        let all =
            |patterns: &[String]| patterns.iter().map(|text| glob(text)).collect::<Result<_, _>>();
        let rule = |(metric, Patterns { include, exclude }): (String, Patterns)| {
            Ok(Rule { metric: glob(&metric)?, include: all(&include)?, exclude: all(&exclude)? })
        };
        rules.into_iter().map(rule).collect::<Result<_, _>>().map(Self)
    }
}

impl Select {
    /// The labels of `family`, which is called `name` in full. Those of `shown` that it knows are among its own.
    pub(super) fn labels(
        &self,
        family: &Family,
        name: &str,
        prefix: Prefix,
        shown: &[Key],
    ) -> Vec<Key> {
        let own = family.labels.iter().map(|key| (key, true));
        let optional = family.optional.iter().filter(|key| !family.labels.contains(key));
        let optional = optional.map(|key| (key, shown.contains(key)));
        let chosen = self.choose(family, name, own.chain(optional));
        chosen.into_iter().map(|key| prefix.key(key)).collect()
    }

    /// Those of `keys`, attributes of a service, that are shown with each series of `family`.
    pub(super) fn resource(&self, family: &Family, name: &str, keys: &[Key]) -> Vec<Key> {
        let keys = keys.iter().filter(|_| family.group.is_of_services());
        self.choose(family, name, keys.map(|key| (key, true))).into_iter().cloned().collect()
    }

    /// Which of `keys` the rules for `family` show; each comes with whether it is shown without a rule.
    fn choose<'k>(
        &self,
        family: &Family,
        name: &str,
        keys: impl Iterator<Item = (&'k Key, bool)>,
    ) -> Vec<&'k Key> {
        let names = spellings(family, name);
        let rules = self.0.iter().filter(|rule| any(&names, &rule.metric));
        let rules: Vec<_> = rules.collect();
        let (included, excluded): (Vec<_>, Vec<_>) = (
            rules.iter().flat_map(|rule| &rule.include).collect(),
            rules.iter().flat_map(|rule| &rule.exclude).collect(),
        );
        let fits = |key: &Key, patterns: &[&GlobMatcher]| {
            let name = plain(key.as_str());
            patterns.iter().any(|pattern| pattern.is_match(&name))
        };
        let wanted = keys.filter(
            |(key, default)| {
                if included.is_empty() { *default } else { fits(key, &included) }
            },
        );
        let kept = wanted.filter(|(key, _)| !fits(key, &excluded));
        kept.map(|(key, _)| key).collect()
    }
}

/// All names by which people know a family.
fn spellings(family: &Family, name: &str) -> Vec<String> {
    let unit = match family.unit {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    let prefixes = Prefix::ALL.iter().map(|prefix| format!("{}.{}", prefix.as_str(), family.name));
    let names: Vec<_> = if family.standard { vec![name.to_owned()] } else { prefixes.collect() };
    let spelled = names.iter().map(|name| plain(name)).flat_map(|name| {
        let with_unit = format!("{name}{unit}");
        [format!("{name}_total"), format!("{with_unit}_total"), with_unit, name]
    });
    spelled.collect()
}

fn any(names: &[String], pattern: &GlobMatcher) -> bool {
    names.iter().any(|name| pattern.is_match(name))
}

/// A name or a glob as Prometheus writes it.
fn plain(name: &str) -> String {
    name.replace('.', "_")
}

fn glob(pattern: &str) -> Result<GlobMatcher, SelectError> {
    let glob = Glob::new(&plain(pattern));
    let glob = glob.map_err(|why| SelectError { pattern: pattern.to_owned(), why })?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use vor_model::semconv::{HTTP_REQUEST_METHOD, HTTP_ROUTE};
    use vor_model::{Group, Instrument, Measure};

    use super::*;

    const AGENT: Key = Key::new("beyla.ip");
    const ZONE: Key = Key::new("src.zone");

    static FAMILY: Family = Family {
        name: "network.flow.bytes",
        standard: false,
        group: Group::Network,
        unit: "{bytes}",
        help: "",
        instrument: Instrument::Sum,
        measure: Measure::Duration,
        labels: &[HTTP_REQUEST_METHOD, HTTP_ROUTE],
        optional: &[ZONE, AGENT],
    };

    fn select(rules: &str) -> Select {
        serde_json::from_str(rules).unwrap()
    }

    fn labels(rules: &str) -> Vec<String> {
        let labels = select(rules).labels(&FAMILY, "vor.network.flow.bytes", Prefix::Vor, &[ZONE]);
        labels.into_iter().map(|key| key.to_string()).collect()
    }

    #[test]
    fn without_rules_a_family_has_its_own_labels_and_those_that_are_shown() {
        let own = ["http.request.method", "http.route", "src.zone"];
        assert_eq!(labels("{}"), own);
        assert_eq!(labels(r#"{"other.metric": {"include": ["*"]}}"#), own);
    }

    #[test]
    fn what_is_included_replaces_and_what_is_excluded_is_taken_away() {
        for (rules, expected) in [
            (r#"{"beyla_network_flow_bytes_total": {"include": ["src.*"]}}"#, &["src.zone"][..]),
            (r#"{"vor.network.flow.bytes": {"exclude": ["http_*"]}}"#, &["src.zone"]),
            (
                r#"{"*": {"include": ["*"], "exclude": ["http.route", "src.zone"]}}"#,
                &["http.request.method", "vor.ip"],
            ),
            (
                r#"{"*": {"include": ["src.zone"]}, "obi_network_*": {"include": ["http.route"]}}"#,
                &["http.route", "src.zone"],
            ),
        ] {
            assert_eq!(labels(rules), expected, "{rules}");
        }
    }

    #[test]
    fn attributes_of_services_are_shown_with_their_metrics_by_the_same_rules() {
        const POD: Key = Key::new("k8s.pod.name");
        const UID: Key = Key::new("k8s.pod.uid");
        static SERVED: Family = Family {
            name: "http.server.request.duration",
            standard: true,
            group: Group::Application,
            unit: "s",
            help: "",
            instrument: Instrument::Sum,
            measure: Measure::Duration,
            labels: &[HTTP_ROUTE],
            optional: &[],
        };
        let shown = |family: &Family, rules: &str| {
            let keys = select(rules).resource(family, family.name, &[POD, UID]);
            keys.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(&SERVED, "{}"), ["k8s.pod.name", "k8s.pod.uid"]);
        for (rules, expected) in [
            (r#"{"http_server_*": {"exclude": ["k8s_pod_uid"]}}"#, &["k8s.pod.name"][..]),
            (r#"{"http_server_*": {"include": ["k8s.pod.uid"]}}"#, &["k8s.pod.uid"]),
            (r#"{"http_server_*": {"include": ["http.route"]}}"#, &[]),
        ] {
            assert_eq!(shown(&SERVED, rules), expected, "{rules}");
        }
        assert!(shown(&FAMILY, "{}").is_empty(), "flows belong to no service");
    }

    #[test]
    fn a_pattern_that_is_no_glob_is_refused() {
        let refused = serde_json::from_str::<Select>(r#"{"*": {"include": ["a[b"]}}"#);
        assert!(refused.unwrap_err().to_string().contains("a[b"), "the pattern is named");
        assert!(serde_json::from_str::<Select>(r#"{"*": {"includes": []}}"#).is_err());
    }
}
