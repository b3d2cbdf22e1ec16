// SPDX-License-Identifier: Apache-2.0
//! net/http, versions 1 and 2 of HTTP, and golang.org/x/net/http2; servers and clients, with and without TLS.

mod decode;
mod library;

use crate::code::Code;
use crate::config::ProbeConfig;
use crate::tracers::{Object, Unit, lineage_sizes, object};

pub(super) use library::LIBRARY;

/// The unit.
pub const UNIT: Unit = Unit {
    name: "go_http",
    objects: &[Object { door: None, bytes: object!("go_http"), hooks: &[] }],
    ring: Some("go_http_events"),
    decode: decode::decode,
    sizes,
    sweep: Some(super::call::sweep("go_http_sweep")),
    judge: None,
    code: Some(Code {
        wants: super::library::wants,
        plan: |binary| super::library::plan(&LIBRARY, binary),
        programs: || LIBRARY.programs(),
        facts: Some("go_http_files"),
    }),
};

fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let own = vec![
        ("go_http_calls", config.max_connections.max(1)),
        ("go_http_files", u32::try_from(config.max_files).unwrap_or(u32::MAX).max(1)),
        ("go_http_events", config.ring_size.bytes()),
    ];
    [own, lineage_sizes(config)].concat()
}
