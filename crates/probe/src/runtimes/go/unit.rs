// SPDX-License-Identifier: Apache-2.0
//! What the unit of every library is: `unit.h`, seen from user space.

use zerocopy::IntoBytes;

use crate::config::ProbeConfig;
use crate::tracers::wire::GoSweeping;
use crate::tracers::{Sweep, Sweeping, lineage_sizes};

/// The unit `$name` of `$library`, whose records `$decode` reads.
macro_rules! unit {
    ($name:literal, $library:path, $decode:path) => {
        crate::tracers::Unit {
            name: $name,
            objects: &[crate::tracers::Object {
                door: None,
                file: crate::tracers::object!($name),
                hooks: &[],
            }],
            ring: Some(concat!($name, "_events")),
            decode: $decode,
            sizes: |config| {
                crate::runtimes::go::unit::sizes(
                    config,
                    [concat!($name, "_calls"), concat!($name, "_files"), concat!($name, "_events")],
                )
            },
            sweep: Some(crate::runtimes::go::unit::sweep(concat!($name, "_sweep"))),
            judge: None,
            code: Some(crate::code::Code {
                wants: crate::runtimes::go::library::wants,
                plan: |binary| crate::runtimes::go::library::plan(&$library, binary),
                programs: || $library.programs(),
                facts: Some(concat!($name, "_files")),
            }),
        }
    };
}
pub(super) use unit;

/// Entries of the maps of `unit.h`: calls, files, and bytes of the ring.
pub(super) fn sizes(
    config: &ProbeConfig,
    [calls, files, events]: [&'static str; 3],
) -> Vec<(&'static str, u32)> {
    let own = vec![
        (calls, config.max_connections.max(1)),
        (files, u32::try_from(config.max_files).unwrap_or(u32::MAX).max(1)),
        (events, config.ring_size.bytes()),
    ];
    [own, lineage_sizes(config)].concat()
}

/// Forgets, by `program`, what a process had under way that is observed no longer.
pub(super) const fn sweep(program: &'static str) -> Sweep {
    Sweep { program, argument: sweeping, open: |_| 0, rows: |_| Vec::new() }
}

fn sweeping(what: &Sweeping) -> Vec<u8> {
    GoSweeping { retired: what.retired.unwrap_or_default(), _pad: 0 }.as_bytes().to_vec()
}
