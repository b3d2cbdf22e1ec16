// SPDX-License-Identifier: Apache-2.0
//! Names: which environment variables set a key, and which known name was probably meant.

use confique::meta::Field;

/// Prefixes of a suffix-only name, strongest first.
pub const PREFIXES: [&str; 3] = ["VOR_", "OTEL_EBPF_", "BEYLA_"];

/// Names that begin like this stand for themselves.
const VERBATIM: [&str; 4] = ["OTEL_", "BEYLA_", "GRAFANA_CLOUD_", "KUBECONFIG"];

/// Longest name that suggestions are sought for, in bytes.
const MAX_SUGGESTED: usize = 64;

/// The variables that set a key, strongest first.
///
/// `declared` is the text of `#[config(env = "…")]`: one name, or several separated by `|`. A name that
/// begins with `OTEL_`, `BEYLA_`, `GRAFANA_CLOUD_` or `KUBECONFIG` stands for itself; any other is
/// accepted with each of [`PREFIXES`].
pub fn variables(declared: &str) -> Vec<String> {
    let mut names = Vec::new();
    for name in declared.split('|').map(str::trim).filter(|name| !name.is_empty()) {
        if VERBATIM.iter().any(|prefix| name.starts_with(prefix)) {
            names.push(name.to_owned());
        } else {
            names.extend(PREFIXES.iter().map(|prefix| format!("{prefix}{name}")));
        }
    }
    names
}

/// The key of a field. `_` ends the name of one that would otherwise be a word of Rust (`type_`).
pub(crate) fn key(field: &Field) -> &'static str {
    field.name.strip_suffix('_').unwrap_or(field.name)
}

/// The known name nearest to `word`, when it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_SUGGESTED {
        return None;
    }
    let folded = fold(word);
    let allowed = (folded.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &fold(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_has_three_names_and_a_full_name_one() {
        assert_eq!(
            variables("OPEN_PORT"),
            ["VOR_OPEN_PORT", "OTEL_EBPF_OPEN_PORT", "BEYLA_OPEN_PORT"]
        );
        assert_eq!(variables("KUBECONFIG"), ["KUBECONFIG"]);
        assert_eq!(
            variables("TTL|BEYLA_OTEL_TTL | OTEL_TTL"),
            ["VOR_TTL", "OTEL_EBPF_TTL", "BEYLA_TTL", "BEYLA_OTEL_TTL", "OTEL_TTL"]
        );
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["open_port", "log_level", "ebpf"];
        for (word, expected) in [
            ("open_prot", Some("open_port")),
            ("open-port", Some("open_port")),
            ("openPort", Some("open_port")),
            ("LOG_LEVEL", Some("log_level")),
            ("epbf", Some("ebpf")),
            ("banana", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
