// SPDX-License-Identifier: Apache-2.0
//! Files that are taken for programs. Seeds: small executables of the machine.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use vor_exe::Executable;
use vor_exe::go::{Field, Program, Wanted};

const WANTED: Wanted<'_> = Wanted {
    functions: &["runtime.newproc1", "main.main"],
    fields: &[Field { of: "runtime.g", name: "goid" }],
};

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a place for files");
    file.write_all(bytes).expect("room for the file");
    let _ = Executable::open(file.path());
    let _ = Program::open(file.path(), &WANTED);
});
