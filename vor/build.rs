// SPDX-License-Identifier: Apache-2.0
//! Tells the program which target it is built for (`vor --version`).

#![allow(clippy::disallowed_macros, reason = "cargo reads what a build script prints")]

fn main() {
    let target = std::env::var_os("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=VOR_TARGET={}", target.display());
    println!("cargo::rerun-if-changed=build.rs");
}
