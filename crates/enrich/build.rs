// SPDX-License-Identifier: Apache-2.0
//! Makes Rust of the protocol between the shared cache and agents, and of what is asked of container engines.

#![allow(clippy::disallowed_macros, reason = "cargo hears build scripts on standard output")]

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    tonic_prost_build::configure()
        // Told to many: shared, not copied.
        .bytes(".")
        .compile_protos(&["proto/kube_cache.proto"], &["proto"])?;
    let engines = ["containerd_containers", "containerd_namespaces", "cri"];
    let engines = engines.map(|name| format!("proto/{name}.proto"));
    tonic_prost_build::configure()
        .build_server(false)
        .compile_protos(&engines, &["proto".to_owned()])
}
