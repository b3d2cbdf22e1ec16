// SPDX-License-Identifier: Apache-2.0
//! How long a file may be; tests, goldens and benchmarks apart.

use super::Source;

/// Files that may be longer, by how much, and why.
const EXCEPTIONS: &[(&str, usize, &str)] =
    &[("crates/probe/bpf/kernel.h", 800, "one list of kernel types, read as a table")];

pub(crate) fn check(source: &Source) -> Option<String> {
    let name = source.name();
    let budget = budget(source)?;
    let budget = EXCEPTIONS.iter().find(|(file, ..)| *file == name).map_or(budget, |e| e.1);
    let lines = own_lines(&source.text);
    (lines > budget).then(|| format!("{name}: {lines} lines, {budget} are enough; divide it"))
}

fn budget(source: &Source) -> Option<usize> {
    let name = source.name();
    let apart = ["/tests/", "/benches/", "/fuzz/"].iter().any(|folder| name.contains(folder));
    if apart || source.is("tests.rs") {
        None
    } else if source.is(".bpf.c") {
        Some(500)
    } else if source.is(".h") {
        Some(250)
    } else {
        Some(400)
    }
}

/// Lines before the tests that end a file.
fn own_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: String) -> Source {
        Source { path: path.into(), text }
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let text = format!("{}#[cfg(test)]\n{}", "a\n".repeat(400), "b\n".repeat(400));
        assert_eq!(check(&source("crates/exe/src/elf.rs", text)), None);
    }

    #[test]
    fn a_line_too_many_is_a_fault() {
        assert!(check(&source("crates/exe/src/elf.rs", "a\n".repeat(401))).is_some());
        assert!(check(&source("crates/probe/bpf/lib/fd.h", "a\n".repeat(251))).is_some());
        assert_eq!(check(&source("crates/exe/src/tests.rs", "a\n".repeat(900))), None);
    }
}
