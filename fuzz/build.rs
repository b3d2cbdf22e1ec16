// SPDX-License-Identifier: Apache-2.0
//! Compiles C that runs in the kernel, or in a JVM, for the fuzz targets that feed it, with the coverage that libFuzzer
//! follows.

fn main() {
    compile("packet", "../crates/probe/bpf");
    compile("patch", "../crates/probe/src/runtimes/java/agent");
}

/// Compiles `<name>.c`, which includes headers of a folder.
fn compile(name: &str, headers: &str) {
    let file = format!("{name}.c");
    println!("cargo:rerun-if-changed={file}");
    println!("cargo:rerun-if-changed={headers}");
    let mut build = cc::Build::new();
    build.compiler("clang-19").file(file).include(headers);
    build.flag("-fsanitize=undefined").flag("-fno-sanitize=alignment").flag("-fsanitize-trap=undefined");
    build.flag("-fsanitize=address").flag("-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp");
    build.compile(name);
}
