// SPDX-License-Identifier: Apache-2.0
//! Settings files. Seeds: any YAML.
#![no_main]

use std::io::Write;

use confique::Config;
use libfuzzer_sys::fuzz_target;
use vor_config::{Duration, PortSet, Secret, Sources, load};

/// One setting of every kind of value.
#[derive(Debug, Config)]
struct Root {
    /// Ports.
    #[config(env = "OPEN_PORT", default = "")]
    #[allow(dead_code, reason = "only read from the file")]
    open_port: PortSet,
    /// A section.
    #[config(nested)]
    #[allow(dead_code, reason = "only read from the file")]
    section: Section,
}

#[derive(Debug, Config)]
struct Section {
    /// A time.
    #[config(env = "TIMEOUT", default = "1s")]
    #[allow(dead_code, reason = "only read from the file")]
    timeout: Duration,
    /// A password.
    #[config(env = "TOKEN")]
    #[allow(dead_code, reason = "only read from the file")]
    token: Option<Secret>,
    /// Numbers.
    #[config(env = "BOUNDS")]
    #[allow(dead_code, reason = "only read from the file")]
    bounds: Option<Vec<f64>>,
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a place for files");
    file.write_all(bytes).expect("room for the file");
    let _ = load::<Root>(Sources { file: Some(file.path()), ..Sources::default() });
});
