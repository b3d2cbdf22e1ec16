// SPDX-License-Identifier: Apache-2.0
//! Names that say nothing, and names that are known too far up.

use std::path::{Path, PathBuf};

use super::Source;

/// A file or folder called so is a list of things whose place was not found.
const EMPTY: &[&str] = &[
    "base",
    "common",
    "data",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "info",
    "manager",
    "misc",
    "processor",
    "util",
    "utils",
];

/// Protocols, by names that mean nothing else. After `protocol` nobody asks which one it was.
const PROTOCOLS: &[&str] = &[
    "aerospike",
    "amqp",
    "couchbase",
    "fastcgi",
    "kafka",
    "memcached",
    "mongo",
    "mongodb",
    "mqtt",
    "mssql",
    "mysql",
    "postgres",
    "postgresql",
    "redis",
    "sunrpc",
];

/// Where that rule holds: the crates above the two that know protocols, and the binary.
const ABOVE: &[&str] = &[
    "crates/pipeline/",
    "crates/discover/",
    "crates/enrich/",
    "crates/export/",
    "vor/src/wire.rs",
];

pub(crate) fn check(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().filter_map(|path| empty_word(path)).collect()
}

fn empty_word(path: &Path) -> Option<String> {
    let words = path.iter().map(|part| part.to_string_lossy());
    let word = words
        .map(|part| part.split('.').next().unwrap_or_default().to_owned())
        .find(|stem| EMPTY.contains(&stem.as_str()) || stem.ends_with("_info"))?;
    Some(format!("{}: `{word}` is not a name here; say what it is", path.display()))
}

pub(crate) fn above_protocol(source: &Source) -> Vec<String> {
    let above = ABOVE.iter().any(|folder| source.path.starts_with(folder));
    if !above || !source.is(".rs") || is_test(source) {
        return Vec::new();
    }
    let lines = source.text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    let mut faults = Vec::new();
    for (at, line) in lines.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        let known = words.find(|word| PROTOCOLS.contains(&word.to_ascii_lowercase().as_str()));
        if let Some(word) = known {
            faults.push(format!("{}:{}: `{word}` above protocol", source.name(), at + 1));
        }
    }
    faults
}

fn is_test(source: &Source) -> bool {
    source.is("/tests.rs") || source.name().contains("/tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn empty_names_are_refused_for_files_and_folders() {
        assert!(empty_word(Path::new("crates/probe/src/util.rs")).is_some());
        assert!(empty_word(Path::new("crates/probe/common/ring.rs")).is_some());
        assert!(empty_word(Path::new("crates/probe/src/database.rs")).is_none());
    }

    #[test]
    fn a_protocol_is_unknown_to_the_exporters() {
        let known = "fn f() {}\nlet redis_spans = 1;\n";
        assert_eq!(above_protocol(&source("crates/export/src/a.rs", known)).len(), 1);
        assert_eq!(above_protocol(&source("crates/protocol/src/a.rs", known)).len(), 0);
        let tested = "fn f() {}\n#[cfg(test)]\nmod tests { redis }\n";
        assert_eq!(above_protocol(&source("crates/export/src/a.rs", tested)).len(), 0);
    }
}
