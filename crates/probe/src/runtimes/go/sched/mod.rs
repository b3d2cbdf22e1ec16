// SPDX-License-Identifier: Apache-2.0
//! Goroutines: who created whom, and who handed what to whom over a channel.
//!
//! Hand-over is exact where the runtime itself pairs two goroutines (`runtime.send`, `runtime.recv`): an unbuffered
//! channel, and a buffered one whose receiver waits. A value that waits in a buffer is an item whose name is its slot.
//! All copies into slots and out of them are seen, or none: a slot is used again.

use super::library::{Feature, Field, Library, Spot};
use crate::code::Code;
use crate::config::ProbeConfig;
use crate::runtimes::silent;
use crate::tracers::{Object, Unit, items_sizes, object};

/// The unit.
pub const UNIT: Unit = Unit {
    name: "go_sched",
    objects: &[Object { door: None, file: object!("go_sched"), hooks: &[] }],
    ring: None,
    decode: silent,
    sizes,
    sweep: None,
    judge: None,
    code: Some(Code {
        wants: super::library::wants,
        plan: |binary| super::library::plan(&LIBRARY, binary),
        programs: || LIBRARY.programs(),
        facts: Some("go_sched_files"),
    }),
};

/// What is wanted of a program.
pub(super) static LIBRARY: Library = Library {
    connects: false,
    fields: &[
        Field::new(&["runtime.sudog"], &["g"]),
        Field::new(&["runtime.hchan"], &["elemsize"]),
        Field::new(&["runtime.hchan"], &["buf"]),
        Field::new(&["runtime.hchan"], &["recvx"]),
    ],
    features: &[
        Feature {
            name: "goroutines",
            spots: &[
                Spot::called(&["runtime.newproc1"], "go_sched_new"),
                Spot::returns(&["runtime.newproc1"], "go_sched_born"),
                Spot::called(&["runtime.goexit1"], "go_sched_exit"),
            ],
            needs: &[],
        },
        Feature {
            name: "channels",
            spots: &[
                Spot::called(&["runtime.send"], "go_sched_send"),
                Spot::called(&["runtime.recv"], "go_sched_take"),
                Spot::called(&["runtime.chanrecv"], "go_sched_recv"),
                Spot::called(&["runtime.selectgo"], "go_sched_select"),
            ],
            needs: &["runtime.sudog", "runtime.hchan"],
        },
        Feature {
            name: "buffers of channels",
            spots: &[
                Spot::called(&["runtime.recv"], "go_sched_pass"),
                Spot::copies_in(&["runtime.chansend"], "go_sched_put"),
                Spot::copies_in(&["runtime.selectgo"], "go_sched_put"),
                Spot::copies_out(&["runtime.chanrecv"], "go_sched_out"),
                Spot::copies_out(&["runtime.selectgo"], "go_sched_out"),
            ],
            needs: &["runtime.sudog", "runtime.hchan"],
        },
    ],
};

fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let files = u32::try_from(config.max_files).unwrap_or(u32::MAX).max(1);
    [vec![("go_sched_files", files)], items_sizes(config)].concat()
}
