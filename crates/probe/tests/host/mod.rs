// SPDX-License-Identifier: Apache-2.0
//! Builds C of `tests/pure` for this machine, with sanitizers, and talks to it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program of `tests/pure/<name>.c` says to `input`.
pub(crate) fn say(name: &str, input: Vec<u8>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = dir.path().join(name);
    let built = Command::new("cc")
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-I"])
        .arg(crate_dir.join("bpf"))
        .arg("-I")
        .arg(crate_dir.join("src/runtimes/java/agent"))
        .arg(crate_dir.join(format!("tests/pure/{name}.c")))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(built.success());
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "a sanitizer stopped it");
    String::from_utf8(output.stdout).unwrap()
}
