// SPDX-License-Identifier: Apache-2.0
//! Clients of databases: database/sql with any driver, and github.com/redis/go-redis v9.

mod decode;
mod library;

use crate::code::Code;
use crate::config::ProbeConfig;
use crate::tracers::{Object, Unit, lineage_sizes, object};

pub(super) use library::LIBRARY;

/// The unit.
pub const UNIT: Unit = Unit {
    name: "go_db",
    objects: &[Object { door: None, bytes: object!("go_db"), hooks: &[] }],
    ring: Some("go_db_events"),
    decode: decode::decode,
    sizes,
    sweep: Some(super::call::sweep("go_db_sweep")),
    judge: None,
    code: Some(Code {
        wants: super::library::wants,
        plan: |binary| super::library::plan(&LIBRARY, binary),
        programs: || LIBRARY.programs(),
        facts: Some("go_db_files"),
    }),
};

fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let own = vec![
        ("go_db_calls", config.max_connections.max(1)),
        ("go_db_files", u32::try_from(config.max_files).unwrap_or(u32::MAX).max(1)),
        ("go_db_events", config.ring_size.bytes()),
    ];
    [own, lineage_sizes(config)].concat()
}
