// SPDX-License-Identifier: Apache-2.0
//! Tables of offsets that somebody else wrote, asked about a real program. Seed: crates/exe/src/go/offsets.txt.
#![no_main]

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use vor_exe::go::{Field, Program, Wanted};

const SOURCE: &str = "package main\n\nimport \"net/http\"\n\nfunc main() { http.Get(\"\") }\n";
const FIELDS: &[Field<'_>] = &[
    Field { of: "net/http.Request", name: "Method" },
    Field { of: "internal/poll.FD", name: "Sysfd" },
    Field { of: "runtime.sudog", name: "g" },
];

/// A stripped program, so that only the table can tell.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a place for files").keep();
        std::fs::write(dir.join("main.go"), SOURCE).expect("room for the file");
        let mut go = Command::new("go");
        go.args(["build", "-ldflags=-s -w", "-o", "program", "main.go"]).current_dir(&dir);
        assert!(go.status().is_ok_and(|status| status.success()), "go build");
        dir.join("program")
    })
}

fuzz_target!(|table: &str| {
    let wanted = Wanted { functions: &["main.main"], fields: FIELDS };
    let answer = Program::open_by(program(), &wanted, table).expect("a table cannot break a program");
    for field in FIELDS {
        // A number that is not in the table would be made up.
        if let Some(offset) = answer.offset(field.of, field.name) {
            assert!(table.contains(&offset.bytes().to_string()), "{field:?}");
        }
    }
});
