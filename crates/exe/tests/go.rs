// SPDX-License-Identifier: Apache-2.0
//! Real Go programs answer, however they were linked.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use object::{Object, ObjectSection, ObjectSymbol};
use tempfile::TempDir;
use vor_exe::go::{self, Field, OFFSETS, Offset, Program, Wanted};

const SOURCE: &str = r#"package main

import "net/http"

func main() { http.ListenAndServe("127.0.0.1:0", nil) }
"#;

const FUNCTIONS: &[&str] =
    &["net/http.(*conn).serve", "net/http.serverHandler.ServeHTTP", "runtime.newproc1", "no.such"];
const FIELDS: &[Field<'_>] = &[
    Field { of: "net/http.Request", name: "Method" },
    Field { of: "net/http.Request", name: "URL" },
    Field { of: "net/http.Request", name: "nothing" },
];
const WANTED: Wanted<'_> = Wanted { functions: FUNCTIONS, fields: FIELDS };

/// Builds the program with flags; Go's own cache makes the second build quick.
fn build(dir: &Path, name: &str, cgo: bool, args: &[&str]) -> PathBuf {
    fs::write(dir.join("main.go"), SOURCE).unwrap();
    fs::write(dir.join("go.mod"), "module example.org/shop\n\ngo 1.20\n").unwrap();
    let built = Command::new("go")
        .args(["build", "-o", name])
        .args(args)
        .arg(".")
        .current_dir(dir)
        .env("CGO_ENABLED", if cgo { "1" } else { "0" })
        .env("GOTOOLCHAIN", "local")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "go build {args:?}: scripts/install check");
    dir.join(name)
}

#[test]
fn functions_are_where_the_symbols_say_however_a_program_is_linked() {
    let dir = TempDir::new().unwrap();
    for (name, cgo, args) in [
        ("static", false, &[][..]),
        ("cgo", true, &[]),
        ("pie", false, &["-buildmode=pie"]),
        ("external", true, &["-ldflags=-linkmode=external"]),
        ("external-pie", true, &["-buildmode=pie", "-ldflags=-linkmode=external"]),
    ] {
        let path = build(dir.path(), name, cgo, args);
        let program = Program::open(&path, &WANTED).unwrap();
        let bytes = fs::read(&path).unwrap();
        let elf = object::File::parse(&*bytes).unwrap();
        for function in &FUNCTIONS[..3] {
            let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(*function)).unwrap();
            let text = elf.section_by_index(symbol.section_index().unwrap()).unwrap();
            let place = symbol.address() - text.address() + text.file_range().unwrap().0;
            let known = program.function(function).unwrap();
            assert_eq!(known.code.start, place, "{name} {function}");
            assert!(known.code.end >= place + symbol.size(), "{name} {function}");
            assert!(known.entry.imitated, "{name} {function}: {known:?}");
            assert!(!known.returns.is_empty(), "{name} {function}");
            for site in &known.returns {
                assert_eq!(bytes[usize::try_from(site.offset).unwrap()], 0xc3, "{name} {function}");
            }
        }
        assert_eq!(program.function("no.such"), None);
        assert_eq!(program.offset("net/http.Request", "Method"), Some(Offset::Known(0)));
        assert_eq!(program.offset("net/http.Request", "URL"), Some(Offset::Known(16)));
        assert_eq!(program.offset("net/http.Request", "nothing"), None);
        assert!(program.build.toolchain.as_ref().unwrap().starts_with("go1."));
        assert_eq!(program.build.setting("CGO_ENABLED"), Some(if cgo { "1" } else { "0" }));

        // The same places without symbols, and without any section at all.
        let stripped = dir.path().join("stripped");
        let strip = |args: &[&str]| {
            let done =
                Command::new("strip").args(args).args(["-o"]).arg(&stripped).arg(&path).status();
            assert!(done.unwrap().success());
        };
        strip(&[]);
        let second = Program::open(&stripped, &WANTED).unwrap();
        let mut headless = fs::read(&stripped).unwrap();
        headless[0x28..0x30].fill(0);
        headless[0x3c..0x40].fill(0);
        fs::write(&stripped, headless).unwrap();
        let third = Program::open(&stripped, &WANTED).unwrap();
        for function in FUNCTIONS {
            let code = |program: &Program| {
                let found = program.function(function)?;
                Some((found.code.end - found.code.start, found.entry.offset - found.code.start))
            };
            assert_eq!(code(&second), code(&program), "{name} {function}");
            assert_eq!(third.function(function), second.function(function), "{name} {function}");
        }
        assert_eq!(third.build, program.build, "{name}");
    }
}

/// The debug information of a program and the table tell the same about its version of Go.
#[test]
fn the_table_is_what_debug_information_says() {
    let dir = TempDir::new().unwrap();
    let path = build(dir.path(), "plain", false, &[]);
    let stripped = build(dir.path(), "bare", false, &["-ldflags=-s -w"]);
    let listed: HashSet<&str> = OFFSETS.lines().filter(|line| !line.starts_with(' ')).collect();
    let (build, layouts) = go::layouts(&path, |of| listed.contains(of)).unwrap();
    assert!(layouts.len() > 40, "{}", layouts.len());
    let fields = layouts.iter().flat_map(|(of, fields)| fields.keys().map(move |name| (of, name)));
    let fields: Vec<_> = fields.filter(|(_, name)| *name != "_").collect();
    let wanted: Vec<_> = fields.iter().map(|(of, name)| Field { of, name }).collect();
    let wanted = Wanted { functions: &[], fields: &wanted };
    let program = Program::open(&stripped, &wanted).unwrap();
    for (of, name) in fields {
        let expected = layouts[of][name];
        let found = program.offset(of, name);
        assert_eq!(found.map(Offset::bytes), Some(expected), "{of}.{name}: {:?}", build.toolchain);
    }
    assert_eq!(program.offset("net/http.Request", "Method"), Some(Offset::Known(0)));
}

#[test]
fn a_program_that_is_no_go_says_so() {
    let own = env::current_exe().unwrap();
    let error = Program::open(&own, &WANTED).unwrap_err();
    assert_eq!(error, vor_exe::go::GoError::NoFunctions);
}
