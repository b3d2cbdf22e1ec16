// SPDX-License-Identifier: Apache-2.0
//! Compiles C that runs in the kernel for the fuzz targets that feed it, with the coverage that libFuzzer follows.

fn main() {
    println!("cargo:rerun-if-changed=packet.c");
    println!("cargo:rerun-if-changed=../crates/probe/bpf/pure");
    let mut build = cc::Build::new();
    build.compiler("clang-19").file("packet.c").include("../crates/probe/bpf");
    build.flag("-fsanitize=undefined").flag("-fno-sanitize=alignment").flag("-fsanitize-trap=undefined");
    build.flag("-fsanitize=address").flag("-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp");
    build.compile("packet");
}
