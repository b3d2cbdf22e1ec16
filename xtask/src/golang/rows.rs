// SPDX-License-Identifier: Apache-2.0
//! The table of offsets from what was read of many programs, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};
use vor_exe::go::{Layouts, Version};

use super::offsets::Measured;

const HEAD: &str =
    "# Offsets of fields, by version; made by `cargo xtask go-offsets`, do not edit.\n";

/// Per field and version, the offset.
type Fields<'m> = BTreeMap<&'m str, BTreeMap<Version, u32>>;

/// The table for the structs that `list` names. Of two programs with one version, the later speaks.
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
    // A program that does not link it in says nothing about it.
    let found = programs.iter().filter_map(|(v, program)| Some((*v, program.layouts.get(of)?)));
    let found: BTreeMap<Version, _> = found.collect();
    let mut fields = Fields::new();
    for (version, members) in &found {
        for (name, offset) in members.iter().filter(|(name, _)| *name != "_") {
            fields.entry(name).or_default().insert(*version, *offset);
        }
    }
    (fields, found.into_keys().collect())
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

/// What a table says of each version that it names, as if it had been read of programs.
pub(super) fn known(table: &str) -> Result<Vec<Measured>> {
    let (mut all, mut module, mut of) = (Vec::new(), "", "");
    let mut section: Vec<(Version, Layouts)> = Vec::new();
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    // The last section ends as all do: with the next.
    for line in lines.chain(["[]"]) {
        if let Some(next) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            all.extend(section.drain(..).map(|(version, layouts)| {
                let text = version.to_string();
                let (standard, modules) = match module {
                    "std" => (Some(text), Vec::new()),
                    _ => (None, vec![(module.to_owned(), text)]),
                };
                Measured { standard, modules, layouts }
            }));
            module = next;
        } else if let Some(versions) = line.strip_prefix("measured ") {
            for version in versions.split(' ') {
                section.push((version.parse()?, Layouts::new()));
            }
        } else if let Some((field, runs)) = line.strip_prefix(' ').and_then(|l| l.split_once(' ')) {
            for run in runs.split(' ') {
                let (offset, from) = run.split_once('@').context("an offset of no version")?;
                let (offset, from) = (offset.parse().ok(), from.parse::<Version>()?);
                for (_, layouts) in section.iter_mut().filter(|(version, _)| *version >= from) {
                    let fields = layouts.entry(of.to_owned()).or_default();
                    match offset {
                        Some(offset) => fields.insert(field.to_owned(), offset),
                        None => fields.remove(field),
                    };
                }
            }
        } else {
            of = line;
        }
    }
    Ok(all)
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

    #[test]
    fn what_was_not_read_again_stays_and_what_was_is_replaced() {
        let table = |all: &[Measured]| {
            let list = "[example.org/lib]\nexample.org/lib.Conn\nexample.org/lib.Late\n";
            super::table(list, all).unwrap()
        };
        let text = format!(
            "{HEAD}[example.org/lib]\nmeasured 1.2.0 1.3.0 1.10.0\nexample.org/lib.Conn\n \
             b 8@1.2.0 16@1.10.0\n c 24@1.2.0 -@1.10.0\nexample.org/lib.Late\n a 0@1.10.0\n"
        );
        let mut all = known(&text).unwrap();
        assert_eq!(table(&all), text);
        all.push(program("v1.3.0", &[("example.org/lib.Conn", &[("b", 16), ("d", 8)])]));
        let expected = text.replace(
            "b 8@1.2.0 16@1.10.0\n c 24@1.2.0 -@1.10.0\n",
            "b 8@1.2.0 16@1.3.0\n c 24@1.2.0 -@1.3.0\n d 8@1.3.0 -@1.10.0\n",
        );
        assert_eq!(table(&all), expected);
    }
}
