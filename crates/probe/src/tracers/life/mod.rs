// SPDX-License-Identifier: Apache-2.0
//! Processes: begun, running another program, listening, ended.
//!
//! In: the scheduler's tracepoints and changes of TCP states. Out: [`Captured::Life`](vor_model::Captured).
//! In the kernel, a child of an observed process is observed at once, and it and every new thread work for the
//! request that their creator works for.

mod decode;

use crate::tracers::{Hook, Object, Unit, lineage_sizes, object};

/// The unit.
pub const UNIT: Unit = Unit {
    name: "life",
    objects: &[Object {
        door: None,
        file: object!("life"),
        hooks: &[
            Hook::section("life_fork"),
            Hook::section("life_exec"),
            Hook::section("life_exit"),
            Hook::section("life_listen"),
        ],
    }],
    ring: Some("life_events"),
    decode: decode::decode,
    sizes: lineage_sizes,
    sweep: None,
    judge: None,
    code: None,
};
