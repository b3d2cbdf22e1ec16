// SPDX-License-Identifier: Apache-2.0
//! Merges the layers (default < file < environment < flag) by YAML path and reads the result once.
//!
//! For each key the strongest layer that says something wins as a whole: lists and free maps are not
//! merged. Empty variables and null values count as not said.

use std::{
    collections::{BTreeSet, HashMap},
    io::Read,
    path::Path,
    sync::Arc,
};

use confique::{
    Config,
    meta::{Expr, FieldKind, LeafKind, MapKey, Meta},
};
use serde::Deserialize;

use crate::{
    effective::{Effective, Setting},
    expand::Expanded,
    fault::{ConfigError, Fault, Problem},
    names::{self, PREFIXES},
    node::{Entry, Node, Origin, Value, quoted},
    read::{Notes, Reader},
    yaml,
};

/// A key of another agent that the settings do not have: it is reported and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// YAML path; a path that ends in `.*` stands for everything below it.
    pub path: &'static str,
    /// Variables, written as in `#[config(env = "…")]`; empty when there is none.
    pub env: &'static str,
}

/// A value given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// As the user writes it, such as `--open-port`.
    pub name: &'static str,
    /// YAML path of the key it sets.
    pub path: &'static str,
    /// As text; lists are comma-separated.
    pub value: String,
}

/// All that settings are made from.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The YAML file, if there is one.
    pub file: Option<&'a Path>,
    /// Environment variables by full name.
    pub env: Vec<(String, String)>,
    /// Flags that were given; of two for one path the last counts.
    pub flags: Vec<Flag>,
    /// Keys of other agents that must not be errors.
    pub foreign: &'a [Foreign],
    /// Variables with one of our prefixes that are read elsewhere.
    pub reserved: &'a [&'a str],
}

/// Settings with the origin of each.
#[derive(Debug)]
pub struct Loaded<C> {
    /// The settings, valid.
    pub settings: C,
    /// The same as text, each with its origin.
    pub effective: Effective,
    /// What was passed over, one sentence each, for the log.
    pub warnings: Vec<String>,
}

/// The environment of this process; what is not UTF-8 is made so with replacement characters.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Merges `sources` into the settings `C`; all wrong keys and values are reported together.
pub fn load<C: Config>(sources: Sources<'_>) -> Result<Loaded<C>, ConfigError> {
    let env: HashMap<_, _> =
        sources.env.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut merge = Merge {
        env: &env,
        flags: &sources.flags,
        foreign: sources.foreign,
        known: leaf_paths(&C::META, ""),
        settings: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
        used: BTreeSet::new(),
    };
    let file = sources.file.map(|file| read_file(file, &env, &mut merge.warnings)).transpose()?;
    let tree = merge.section(&C::META, "", file.flatten().as_ref());
    merge.stray_flags();
    merge.stray_variables(sources.reserved);

    let notes = Notes::default();
    let layer = C::Layer::deserialize(Reader::new(&tree, &notes));
    if layer.is_err() {
        merge.find_faults::<C>(&notes);
    }
    let Merge { settings, problems, warnings, .. } = merge;
    let layer = match layer {
        Ok(layer) if problems.is_empty() => layer,
        Err(fault) if problems.is_empty() => {
            return Err(ConfigError::Settings(vec![problem(fault)]));
        }
        Ok(_) | Err(_) => return Err(ConfigError::Settings(problems)),
    };
    let root = C::from_layer(layer).map_err(|error| ConfigError::Conflict(error.to_string()))?;
    let effective = Effective::new(settings, &notes);
    Ok(Loaded { settings: root, effective, warnings })
}

fn read_file(
    path: &Path,
    env: &HashMap<String, String>,
    warnings: &mut Vec<String>,
) -> Result<Option<Node>, ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable { file: path.to_owned(), why };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(yaml::MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > yaml::MAX_FILE_BYTES {
        return Err(unreadable(format!("it is larger than {} bytes", yaml::MAX_FILE_BYTES)));
    }
    let malformed = |line, why| ConfigError::Malformed { file: path.to_owned(), line, why };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        malformed(before.filter(|byte| **byte == b'\n').count() + 1, "not UTF-8".to_owned())
    })?;
    let mut tree = yaml::parse(&Arc::from(path), text).map_err(|m| malformed(m.line, m.why))?;
    let mut expanded = Expanded::default();
    if !tree.as_mut().is_none_or(|tree| expanded.tree(tree, env)) {
        return Err(unreadable("the variables in it expand to too much text".to_owned()));
    }
    expanded.missing.sort();
    expanded.missing.dedup();
    warnings.extend(expanded.missing.iter().map(|name| {
        format!("{}: the variable {} is not set, read as empty", path.display(), quoted(name))
    }));
    Ok(tree)
}

/// Every leaf's path in the order of the settings.
pub(crate) fn leaf_paths(meta: &Meta, above: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for field in meta.fields {
        let path = join(above, names::key(field));
        match field.kind {
            FieldKind::Leaf { .. } => paths.push(path),
            FieldKind::Nested { meta } => paths.extend(leaf_paths(meta, &path)),
        }
    }
    paths
}

pub(crate) fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn problem(fault: Fault) -> Problem {
    let (path, origin) = fault.at.unwrap_or_else(|| (String::new(), Origin::Default));
    Problem { path, origin, why: fault.why }
}

struct Merge<'a> {
    env: &'a HashMap<String, String>,
    flags: &'a [Flag],
    foreign: &'a [Foreign],
    known: Vec<String>,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Every variable that sets some key, set or not.
    used: BTreeSet<String>,
}

impl Merge<'_> {
    /// The chosen values of one section and of those below it.
    fn section(&mut self, meta: &Meta, path: &str, file: Option<&Node>) -> Node {
        let origin = file.map_or(Origin::Default, |node| node.origin.clone());
        let said: &[Entry] = match file.map(|node| (node, &node.value)) {
            Some((_, Value::Map(entries))) => entries,
            Some((node, _)) if !node.is_null() => {
                let why = format!("expected a section with keys, found {}", node.shown());
                self.problem(path, &node.origin, why);
                &[]
            }
            Some(_) | None => &[],
        };
        for entry in said {
            if !meta.fields.iter().any(|field| names::key(field) == entry.key) {
                self.unknown(meta, path, entry);
            }
        }
        let mut chosen = Vec::new();
        for field in meta.fields {
            let below = join(path, names::key(field));
            let said =
                said.iter().find(|entry| entry.key == names::key(field)).map(|entry| &entry.node);
            let node = match field.kind {
                FieldKind::Nested { meta } => Some(self.section(meta, &below, said)),
                FieldKind::Leaf { env, kind } => self.leaf(&below, env, kind, said),
            };
            if let Some(node) = node {
                chosen.push(Entry { key: field.name.to_owned(), at: node.origin.clone(), node });
            }
        }
        Node { value: Value::Map(chosen), origin }
    }

    fn leaf(
        &mut self,
        path: &str,
        env: Option<&'static str>,
        kind: LeafKind,
        file: Option<&Node>,
    ) -> Option<Node> {
        let variable = self.variable(env);
        let flag = self.flags.iter().rev().find(|flag| flag.path == path);
        let flag =
            flag.map(|flag| Node::text(flag.value.clone(), Origin::Flag(flag.name.to_owned())));
        let default = || match kind {
            LeafKind::Required { default: Some(value) } => Some(default(&value)),
            LeafKind::Required { default: None } | LeafKind::Optional => None,
        };
        let file = file.filter(|node| !node.is_null()).cloned();
        let node = flag.or(variable).or(file).or_else(default);
        self.settings.push(Setting { path: path.to_owned(), node: node.clone() });
        node
    }

    /// The strongest of a key's variables; the weaker ones are reported when they disagree.
    fn variable(&mut self, declared: Option<&'static str>) -> Option<Node> {
        let mut winner: Option<(String, &String)> = None;
        for name in names::variables(declared.unwrap_or_default()) {
            self.used.insert(name.clone());
            let Some(value) = self.env.get(&name) else { continue };
            match &winner {
                None => winner = Some((name, value)),
                Some((stronger, kept)) if *kept != value && ours(&name) => {
                    self.warnings.push(format!("{name} is passed over, {stronger} is set too"));
                }
                Some(_) => {}
            }
        }
        winner.map(|(name, value)| Node::text(value.clone(), Origin::Env(name)))
    }

    /// A key of the file that the section does not have: another agent's, or a mistake.
    fn unknown(&mut self, meta: &Meta, above: &str, entry: &Entry) {
        let path = join(above, &entry.key);
        if self.foreign.iter().any(|key| covers(key.path, &path)) {
            self.warnings.push(format!("{}: {path} is not supported, passed over", entry.at));
            return;
        }
        let section = format!("{path}.");
        if self.foreign.iter().any(|key| key.path.starts_with(&section)) {
            if let Value::Map(entries) = &entry.node.value {
                let empty = Meta { name: "", doc: &[], fields: &[] };
                for below in entries {
                    self.unknown(&empty, &path, below);
                }
            }
            return;
        }
        let elsewhere = |known: &&String| known.rsplit('.').next() == Some(entry.key.as_str());
        let meant = names::nearest(&entry.key, meta.fields.iter().map(names::key))
            .map(|name| join(above, name))
            .or_else(|| self.known.iter().find(elsewhere).cloned());
        let hint = meant.map_or_else(
            || "`vor config --docs` lists all keys".to_owned(),
            |name| format!("did you mean {name}?"),
        );
        let shown: String = path.chars().take(MAX_PATH_CHARS).collect();
        self.problem(&shown, &entry.at, format!("unknown key; {hint}"));
    }

    fn stray_flags(&mut self) {
        for flag in self.flags.iter().filter(|flag| !self.known.iter().any(|p| p == flag.path)) {
            let origin = Origin::Flag(flag.name.to_owned());
            let why = "unknown key".to_owned();
            self.problems.push(Problem { path: flag.path.to_owned(), origin, why });
        }
    }

    /// Warns of variables that begin like ours and set nothing.
    fn stray_variables(&mut self, reserved: &[&str]) {
        let mut foreign = HashMap::new();
        for key in self.foreign {
            foreign.extend(names::variables(key.env).into_iter().map(|name| (name, key.path)));
        }
        let mut stray: Vec<_> = self
            .env
            .keys()
            .filter(|name| ours(name) && !self.used.contains(*name))
            .filter(|name| !reserved.contains(&name.as_str()) && !service_link(name))
            .collect();
        stray.sort();
        for name in stray {
            let shown: String = name.chars().take(MAX_PATH_CHARS).collect();
            self.warnings.push(match foreign.get(name) {
                Some(path) => format!("{shown} ({path}) is not supported, passed over"),
                None => match self.nearest_variable(name) {
                    Some(meant) => format!("{shown} sets nothing; did you mean {meant}?"),
                    None => format!("{shown} sets nothing"),
                },
            });
        }
    }

    /// A variable with the same prefix and nearly the same rest.
    fn nearest_variable(&self, name: &str) -> Option<String> {
        let prefix = PREFIXES.iter().find(|prefix| name.starts_with(**prefix))?;
        let rest = |name: &'_ str| name.strip_prefix(prefix).map(str::to_owned);
        let known: Vec<_> = self.used.iter().filter_map(|name| rest(name)).collect();
        names::nearest(&rest(name)?, known.iter().map(String::as_str))
            .map(|suffix| format!("{prefix}{suffix}"))
    }

    /// Reads each setting by itself, so that all faults are known and not only the first.
    fn find_faults<C: Config>(&mut self, notes: &Notes) {
        for setting in &self.settings {
            let Some(tree) = setting.alone() else { continue };
            if let Err(fault) = C::Layer::deserialize(Reader::new(&tree, notes)) {
                self.problems.push(problem(fault));
            }
        }
    }

    fn problem(&mut self, path: &str, origin: &Origin, why: String) {
        self.problems.push(Problem { path: path.to_owned(), origin: origin.clone(), why });
    }
}

/// Longest path or name of an unknown key that a message shows.
const MAX_PATH_CHARS: usize = 120;

fn ours(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Kubernetes sets such variables for a service that is called `vor` or `beyla`.
fn service_link(name: &str) -> bool {
    let (_, rest) = name.split_once('_').unwrap_or((name, ""));
    rest == "PORT"
        || ["SERVICE_HOST", "SERVICE_PORT", "PORT_"].iter().any(|link| rest.starts_with(link))
}

fn covers(known: &str, path: &str) -> bool {
    match known.strip_suffix(".*") {
        Some(section) => path == section || path.starts_with(&format!("{section}.")),
        None => known == path,
    }
}

/// A default of the settings as a value.
pub(crate) fn default(value: &Expr) -> Node {
    let plain = |text: String| Value::Text { text, plain: true };
    let value = match value {
        Expr::Str(text) => Value::Text { text: (*text).to_owned(), plain: false },
        Expr::Bool(value) => plain(value.to_string()),
        Expr::Integer(value) => plain(value.to_string()),
        Expr::Float(value) => plain(value.to_string()),
        Expr::Array(items) => Value::List(items.iter().map(default).collect()),
        Expr::Map(entries) => {
            let entry = |entry: &confique::meta::MapEntry| Entry {
                key: key(entry.key),
                at: Origin::Default,
                node: default(&entry.value),
            };
            Value::Map(entries.iter().map(entry).collect())
        }
        // `Expr` may grow; a kind we cannot read is reported by the setting's type.
        _ => Value::List(Vec::new()),
    };
    Node { value, origin: Origin::Default }
}

fn key(key: MapKey) -> String {
    match key {
        MapKey::Str(text) => text.to_owned(),
        MapKey::Bool(value) => value.to_string(),
        MapKey::Integer(value) => value.to_string(),
        MapKey::Float(value) => value.to_string(),
        // As above.
        _ => String::new(),
    }
}
