// SPDX-License-Identifier: Apache-2.0
//! Where fields were in the versions that were measured: `offsets.txt`, made by `cargo xtask go-offsets`.
//!
//! A section per module names the measured versions; then come structs, and indented their fields with an offset
//! for each version from which it holds:
//!
//! ```text
//! [github.com/redis/go-redis/v9]
//! measured 9.0.5 9.1.0 9.6.3 9.7.3
//! github.com/redis/go-redis/v9/internal/pool.Conn
//!  bw 32@9.0.5 48@9.6.3 32@9.7.3
//! ```
//!
//! `-` in place of an offset: that version has no such field.

use std::collections::HashSet;

use super::build::Build;
use super::{Offset, Version};

/// The embedded table.
pub const OFFSETS: &str = include_str!("offsets.txt");

/// What the table knows of a field: offsets, and the versions from which they hold.
type Runs = Vec<(Option<u32>, Version)>;

/// A struct as it is in one program.
pub(super) struct Layout<'t> {
    pub(super) of: &'t str,
    pub(super) fields: Vec<(&'t str, Offset)>,
    /// Whether nothing but this version's own release is linked in, and it is in the table.
    pub(super) sure: bool,
}

/// The wanted structs of `table`, as they are in a program of this build.
pub(super) fn layouts<'t>(
    table: &'t str,
    structs: &HashSet<&str>,
    build: &Build,
) -> Vec<Layout<'t>> {
    let mut found: Vec<Layout<'t>> = Vec::new();
    let mut measured: Vec<Version> = Vec::new();
    let mut linked = None;
    for line in table.lines() {
        if let Some(versions) = line.strip_prefix("measured ") {
            measured = versions.split(' ').filter_map(|version| version.parse().ok()).collect();
        } else if let Some(field) = line.strip_prefix(' ') {
            let (Some(linked), Some(layout)) = (&linked, found.last_mut()) else { continue };
            let Some((field, runs)) = field.split_once(' ') else { continue };
            let (offset, sure) = choose(&runs_of(runs), &measured, linked);
            layout.sure &= sure;
            layout.fields.extend(offset.map(|offset| (field, offset)));
        } else if !line.starts_with(['#', '[']) {
            linked = structs.contains(line).then(|| Linked::of(build, line));
            if linked.is_some() {
                found.push(Layout { of: line, fields: Vec::new(), sure: true });
            }
        }
    }
    found
}

/// Whether a struct may be in a program: unless its module is none of those that the build names.
pub(super) fn is_linked(build: &Build, of: &str) -> bool {
    standard(package(of)) || build.modules.is_empty() || build.module_of(package(of)).is_some()
}

/// Which version of a struct's module is linked in.
struct Linked {
    version: Option<Version>,
    /// Whether it is that and nothing else.
    proven: bool,
}

impl Linked {
    fn of(build: &Build, of: &str) -> Self {
        let package = package(of);
        if standard(package) {
            let version = build.toolchain.as_deref().and_then(Version::of_toolchain);
            return Self { version, proven: true };
        }
        let Some(module) = build.module_of(package) else {
            return Self { version: None, proven: false };
        };
        match module.replaced_by.as_deref() {
            Some(other) if other.path == module.path => {
                Self { version: other.version.parse().ok(), proven: other.proven }
            }
            // A fork: the nearest guess is what it stands in for.
            Some(_) => Self { version: module.version.parse().ok(), proven: false },
            None => Self { version: module.version.parse().ok(), proven: module.proven },
        }
    }
}

/// Whether a package is part of the Go distribution.
fn standard(package: &str) -> bool {
    let first = package.split('/').next().unwrap_or_default();
    first == "vendor" || !first.contains('.')
}

/// The package of a struct.
fn package(of: &str) -> &str {
    let base = of.rfind('/').map_or(0, |at| at + 1);
    let dot = of.get(base..).and_then(|name| name.find('.')).map_or(of.len(), |at| base + at);
    of.get(..dot).unwrap_or(of)
}

fn runs_of(text: &str) -> Runs {
    let runs = text.split(' ').filter_map(|run| {
        let (offset, from) = run.split_once('@')?;
        Some((offset.parse().ok(), from.parse().ok()?))
    });
    runs.collect()
}

/// The offset in the version that is linked in, or in the newest when that is not known; and whether that is sure.
fn choose(runs: &Runs, measured: &[Version], linked: &Linked) -> (Option<Offset>, bool) {
    let at = |version: Version| {
        runs.iter().rev().find(|(_, from)| *from <= version).and_then(|(offset, _)| *offset)
    };
    let (Some(oldest), Some(newest)) = (measured.first().copied(), measured.last().copied()) else {
        return (None, false);
    };
    let Some(version) = linked.version else { return (at(newest).map(Offset::Assumed), false) };
    let below = measured.iter().rev().find(|known| **known <= version).copied();
    let above = measured.iter().find(|known| **known >= version).copied();
    let offset = at(below.unwrap_or(oldest));
    // A patch keeps layouts: it is known when its minor version was measured and has one layout. So is what
    // lies between two measured versions that agree.
    let mut patches = measured.iter().filter(|known| known.same_minor(version)).peekable();
    let same_minor = patches.peek().is_some() && patches.all(|patch| at(*patch) == offset);
    let between = below.is_some() && above.is_some_and(|above| at(above) == offset);
    let sure = version.release && linked.proven && (same_minor || between);
    (offset.map(if sure { Offset::Known } else { Offset::Assumed }), sure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::build::Module;

    const TABLE: &str = "# comment\n\
        [std]\n\
        measured 1.22.10 1.23.9 1.26.6\n\
        net/http.Request\n \
        Method 0@1.22.10\n \
        pat 240@1.23.9\n \
        old 8@1.22.10 -@1.26.6\n\
        [example.org/lib]\n\
        measured 1.2.0 1.4.0 1.5.0\n\
        example.org/lib/inner.Conn\n \
        bw 32@1.2.0 48@1.5.0\n";

    fn build(toolchain: &str, version: &str) -> Build {
        let (path, version) = ("example.org/lib".to_owned(), version.to_owned());
        let module = Module { path, version, proven: true, replaced_by: None };
        Build { toolchain: Some(toolchain.into()), modules: vec![module], ..Build::default() }
    }

    fn offset(build: &Build, of: &str, field: &str) -> Option<Offset> {
        let layouts = layouts(TABLE, &HashSet::from([of]), build);
        let [layout] = layouts.as_slice() else { panic!("no such struct") };
        layout.fields.iter().find(|(name, _)| *name == field).map(|(_, offset)| *offset)
    }

    #[test]
    fn every_line_of_the_embedded_table_is_understood_and_the_structs_of_the_runtime_are_there() {
        let mut structs = HashSet::new();
        for line in OFFSETS.lines() {
            if let Some(versions) = line.strip_prefix("measured ") {
                let read: Vec<Version> = versions.split(' ').map(|v| v.parse().unwrap()).collect();
                assert!(read.is_sorted(), "{line}");
            } else if let Some((field, runs)) =
                line.strip_prefix(' ').and_then(|l| l.split_once(' '))
            {
                assert_eq!(runs_of(runs).len(), runs.split(' ').count(), "{field}");
            } else if !line.starts_with(['#', '[']) {
                structs.insert(line);
            }
        }
        for of in
            ["net/http.Request", "runtime.g", "runtime.hchan", "database/sql.DB", "crypto/tls.Conn"]
        {
            assert!(structs.contains(of), "{of}");
        }
    }

    #[test]
    fn versions_that_were_measured_or_lie_between_equal_ones_are_known_and_others_assumed() {
        for (version, expected) in [
            ("v1.2.0", Offset::Known(32)),
            ("v1.3.7", Offset::Known(32)),
            ("v1.4.2", Offset::Known(32)),
            ("v1.5.9", Offset::Known(48)),
            ("v1.1.0", Offset::Assumed(32)),
            ("v1.6.0", Offset::Assumed(48)),
            ("v1.4.1-0.20240102030405-0123456789ab", Offset::Assumed(32)),
        ] {
            let found = offset(&build("go1.26.6", version), "example.org/lib/inner.Conn", "bw");
            assert_eq!(found, Some(expected), "{version}");
        }
    }

    #[test]
    fn the_standard_library_goes_by_the_toolchain() {
        let request =
            |toolchain: &str, field| offset(&build(toolchain, "v1.2.0"), "net/http.Request", field);
        assert_eq!(request("go1.26.8", "pat"), Some(Offset::Known(240)));
        assert_eq!(request("go1.22.12", "pat"), None, "not there yet");
        assert_eq!(request("go1.28.0", "pat"), Some(Offset::Assumed(240)));
        assert_eq!(request("go1.26.8", "old"), None, "not there any more");
        assert_eq!(request("devel go1.29-abcdef", "Method"), Some(Offset::Assumed(0)));
    }

    #[test]
    fn what_may_have_been_changed_is_not_sure() {
        let mut build = build("go1.26.6", "v1.4.0");
        build.modules[0].proven = false;
        let of = "example.org/lib/inner.Conn";
        assert_eq!(offset(&build, of, "bw"), Some(Offset::Assumed(32)), "vendored");
        assert!(is_linked(&build, of) && is_linked(&build, "net/http.Request"));
        assert!(!is_linked(&build, "example.org/other.Thing"));
    }

    #[test]
    fn a_fork_is_assumed_to_be_like_what_it_replaces_and_another_version_is_that_version() {
        let mut build = build("go1.26.6", "v1.4.0");
        let replace = |path: &str, version: &str| {
            let (path, version) = (path.to_owned(), version.to_owned());
            Some(Box::new(Module { path, version, proven: true, replaced_by: None }))
        };
        build.modules[0].replaced_by = replace("example.org/fork", "v9.9.9");
        let of = "example.org/lib/inner.Conn";
        assert_eq!(offset(&build, of, "bw"), Some(Offset::Assumed(32)));
        build.modules[0].replaced_by = replace("example.org/lib", "v1.5.0");
        assert_eq!(offset(&build, of, "bw"), Some(Offset::Known(48)));
    }
}
