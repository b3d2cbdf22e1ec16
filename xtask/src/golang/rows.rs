// SPDX-License-Identifier: Apache-2.0
//! The table of offsets from what was read of many programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};
use vor_exe::go::Version;

use super::offsets::Measured;

const HEAD: &str =
    "# Offsets of fields, by version; made by `cargo xtask go-offsets`, do not edit.\n";

/// Per field and version, the offset.
type Fields<'m> = BTreeMap<&'m str, BTreeMap<Version, u32>>;

/// The table for the structs that `list` names.
pub(super) fn table(list: &str, all: &[Measured]) -> Result<String> {
    let mut table = HEAD.to_owned();
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(module) => sections.push((module, Vec::new())),
            None => sections.last_mut().context("a struct before the first module")?.1.push(line),
        }
    }
    for (module, structs) in sections {
        let programs = of_module(module, all);
        if programs.is_empty() {
            continue;
        }
        let versions: BTreeSet<Version> = programs.iter().map(|(version, _)| *version).collect();
        let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
        write!(table, "[{module}]\nmeasured {}\n", versions.join(" "))?;
        for of in structs {
            let (fields, seen) = fields(of, &programs);
            if fields.is_empty() {
                continue;
            }
            writeln!(table, "{of}")?;
            for (field, offsets) in &fields {
                writeln!(table, " {field}{}", runs(offsets, &seen))?;
            }
        }
    }
    Ok(table)
}

/// The programs in which a module was measured, and its version in each.
fn of_module<'m>(module: &str, all: &'m [Measured]) -> Vec<(Version, &'m Measured)> {
    let version = |program: &Measured| {
        let text = match module {
            "std" => program.standard.clone(),
            _ => program.modules.iter().find(|(path, _)| path == module).map(|(_, v)| v.clone()),
        };
        text?.parse::<Version>().ok()
    };
    all.iter().filter_map(|program| Some((version(program)?, program))).collect()
}

/// The fields of a struct in all versions, and the versions that have the struct.
fn fields<'m>(of: &str, programs: &[(Version, &'m Measured)]) -> (Fields<'m>, BTreeSet<Version>) {
    let (mut fields, mut seen) = (Fields::new(), BTreeSet::new());
    for (version, program) in programs {
        // A program that does not link it in says nothing about it.
        let Some(members) = program.layouts.get(of) else { continue };
        seen.insert(*version);
        for (name, offset) in members.iter().filter(|(name, _)| *name != "_") {
            fields.entry(name).or_default().insert(*version, *offset);
        }
    }
    (fields, seen)
}

/// ` OFFSET@VERSION` for each version, among those that have the struct, from which another offset holds.
fn runs(offsets: &BTreeMap<Version, u32>, seen: &BTreeSet<Version>) -> String {
    let (mut text, mut last) = (String::new(), None);
    for version in seen {
        let offset = offsets.get(version);
        if offset != last {
            let shown = offset.map_or("-".to_owned(), u32::to_string);
            let _ = write!(text, " {shown}@{version}");
        }
        last = offset;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(version: &str, layouts: &[(&str, &[(&str, u32)])]) -> Measured {
        let fields =
            |list: &[(&str, u32)]| list.iter().map(|(f, o)| ((*f).to_owned(), *o)).collect();
        Measured {
            standard: None,
            modules: vec![("example.org/lib".to_owned(), version.to_owned())],
            layouts: layouts.iter().map(|(of, list)| ((*of).to_owned(), fields(list))).collect(),
        }
    }

    #[test]
    fn versions_with_equal_offsets_are_one_run() {
        let conn = "example.org/lib.Conn";
        let all = [
            program("v1.10.0", &[(conn, &[("a", 0), ("b", 16)])]),
            program("v1.2.0", &[(conn, &[("a", 0), ("b", 8), ("c", 24)])]),
            program("v1.3.0", &[(conn, &[("a", 0), ("b", 8), ("c", 24)])]),
            program("v1.11.0", &[]),
        ];
        let list = "# list\n[example.org/lib]\nexample.org/lib.Conn\nexample.org/lib.None\n";
        let expected = format!(
            "{HEAD}[example.org/lib]\nmeasured 1.2.0 1.3.0 1.10.0 1.11.0\n{conn}\n \
             a 0@1.2.0\n b 8@1.2.0 16@1.10.0\n c 24@1.2.0 -@1.10.0\n"
        );
        assert_eq!(table(list, &all).unwrap(), expected);
    }
}
