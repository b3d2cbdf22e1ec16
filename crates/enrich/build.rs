// SPDX-License-Identifier: Apache-2.0
//! Makes Rust of the protocol between the shared cache and agents.

#![allow(clippy::disallowed_macros, reason = "cargo hears build scripts on standard output")]

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    tonic_prost_build::configure()
        // Told to many: shared, not copied.
        .bytes(".")
        .compile_protos(&["proto/kube_cache.proto"], &["proto"])
}
