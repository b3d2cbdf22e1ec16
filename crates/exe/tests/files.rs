// SPDX-License-Identifier: Apache-2.0
//! Real programs tell what they are, and no bytes hurt the reader.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;
use vor_exe::{ExeError, Executable, Executables, Mark};

const GO: &str = "package main\n\nfunc main() {}\n";
const C: &str = "int main(void) { return 0; }\n";

/// Runs a tool of the machine.
fn build(dir: &Path, tool: &str, args: &[&str]) {
    let status = Command::new(tool)
        .args(args)
        .current_dir(dir)
        .env("GOFLAGS", "-mod=mod")
        .env("GOCACHE", dir.join("gocache"))
        .status();
    let built = status.is_ok_and(|status| status.success());
    assert!(built, "{tool} {args:?}: failed, or not there: scripts/install check");
}

fn c_program(dir: &Path, args: &[&str]) -> PathBuf {
    fs::write(dir.join("main.c"), C).unwrap();
    build(dir, "cc", &[&["-o", "prog", "main.c"], args].concat());
    dir.join("prog")
}

#[test]
fn a_c_program_names_its_loader_its_libraries_and_its_build() {
    let dir = TempDir::new().unwrap();
    let facts = Executable::open(&c_program(dir.path(), &["-Wl,--build-id=sha1"])).unwrap().facts;
    assert_eq!(facts.mark, Some(Mark::C));
    assert_eq!(facts.go, None);
    assert!(facts.interpreter.as_deref().unwrap().contains("/ld-"), "{facts:?}");
    assert!(facts.needed.iter().any(|name| name.starts_with("libc.so")), "{facts:?}");
    assert_eq!(facts.build_id.as_ref().unwrap().len(), 20);
    assert!(facts.is_64);
    assert!(facts.libc() && !facts.is_static());
}

#[test]
fn a_static_program_needs_nothing() {
    let dir = TempDir::new().unwrap();
    let facts = Executable::open(&c_program(dir.path(), &["-static"])).unwrap().facts;
    assert!(facts.is_static() && facts.needed.is_empty(), "{facts:?}");
    assert_eq!(facts.mark, Some(Mark::C));
}

#[test]
fn a_go_program_tells_version_and_module_even_when_it_is_stripped() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("main.go"), GO).unwrap();
    fs::write(dir.path().join("go.mod"), "module example.org/shop\n\ngo 1.20\n").unwrap();
    for flags in ["", "-s -w"] {
        build(dir.path(), "go", &["build", "-ldflags", flags, "-o", "prog", "."]);
        let facts = Executable::open(&dir.path().join("prog")).unwrap().facts;
        let go = facts.go.unwrap();
        assert!(go.version.unwrap().starts_with("go1."), "{flags}");
        assert_eq!(go.module.as_deref(), Some("example.org/shop"), "{flags}");
        assert_eq!(facts.mark, None);
    }
}

#[test]
fn a_rust_program_is_known_by_its_symbols_and_by_its_panics_when_they_are_stripped() {
    let own = std::env::current_exe().unwrap();
    let facts = Executable::open(&own).unwrap().facts;
    assert_eq!(facts.mark, Some(Mark::Rust));
    let dir = TempDir::new().unwrap();
    let stripped = dir.path().join("stripped");
    let args = ["-R", ".comment", "-o", stripped.to_str().unwrap(), own.to_str().unwrap()];
    build(dir.path(), "strip", &args);
    let facts = Executable::open(&stripped).unwrap().facts;
    assert_eq!(facts.mark, Some(Mark::Rust));
}

#[test]
fn what_is_no_program_says_so() {
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    assert_eq!(Executable::open(&script).unwrap_err(), ExeError::NotElf);
    assert_eq!(Executable::open(dir.path()).unwrap_err(), ExeError::NotAFile);
    assert_eq!(Executable::open(Path::new("/dev/zero")).unwrap_err(), ExeError::NotAFile);
    let missing = Executable::open(&dir.path().join("missing")).unwrap_err();
    assert_eq!(missing, ExeError::Io(std::io::ErrorKind::NotFound));
}

#[test]
fn a_file_is_read_once_under_all_its_names_until_it_changes() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    fs::copy("/bin/ls", &first).unwrap();
    fs::hard_link(&first, &second).unwrap();
    let mut known = Executables::new(2);
    let read = known.open(&first).unwrap();
    assert!(Arc::ptr_eq(&read, &known.open(&second).unwrap()));
    assert_eq!(known.len(), 1);
    let mut longer = fs::read(&first).unwrap();
    longer.push(0);
    fs::write(&first, longer).unwrap();
    assert!(!Arc::ptr_eq(&read, &known.open(&first).unwrap()));
    fs::write(&second, "not a program").unwrap();
    assert_eq!(known.open(&second).unwrap_err(), ExeError::NotElf);
    assert_eq!(known.len(), 2, "the oldest of three was forgotten");
}

#[test]
fn a_program_cut_anywhere_is_refused_or_tells_less() {
    let dir = TempDir::new().unwrap();
    let path = c_program(dir.path(), &[]);
    let whole = fs::read(&path).unwrap();
    let cut = dir.path().join("cut");
    for end in 0..whole.len() {
        fs::write(&cut, &whole[..end]).unwrap();
        let _ = Executable::open(&cut);
    }
}

fn mutated(bytes: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Most of what is read stands in front: half of the changes go into the first kilobyte.
    for (at, (index, value)) in changes.iter().enumerate() {
        let reach = if at % 2 == 0 { bytes.len().min(1024) } else { bytes.len() };
        *bytes.get_mut(index.index(reach)).unwrap() = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn changed_bytes_of_a_real_program_never_hurt(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), mutated(&fs::read("/bin/ls").unwrap(), &changes)).unwrap();
        let _ = Executable::open(file.path());
    }

    #[test]
    fn any_bytes_behind_an_elf_mark_never_hurt(
        class in 0_u8..4,
        order in 0_u8..4,
        rest in prop::collection::vec(any::<u8>(), 0..2000)
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [&b"\x7fELF"[..], &[class, order, 1], &rest].concat();
        fs::write(file.path(), bytes).unwrap();
        let _ = Executable::open(file.path());
    }
}
