// SPDX-License-Identifier: Apache-2.0
//! The seam that tracers fill, and the list of them.
//!
//! A [`Unit`] is data: kernel objects, where they are attached, and how to read what they send. The loader
//! takes the first of its objects that the kernel accepts; its ring carries records to [`Unit::decode`].

pub mod flow;
pub mod life;
pub(crate) mod place;
pub mod propagate;
pub mod socket;
pub(crate) mod tcpstat;
pub mod wire;

use std::fmt;
use std::time::Duration;

use libbpf_rs::MapHandle;
use vor_model::{Captured, ConnId};

use crate::code::Code;
use crate::config::ProbeConfig;
use crate::object::Packed;

/// All tracers, in the order in which they are loaded.
pub const ALL: &[&Unit] = &[
    // First: children of observed processes are to be seen before anything they do.
    &life::UNIT,
    &socket::UNIT,
];

/// Entries of the maps of `bpf/maps/lineage.h`. Every object that has them asks for these sizes; the first one
/// makes them.
#[must_use]
pub fn lineage_sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    vec![
        ("vor_tasks", config.max_tasks.max(1)),
        ("vor_conduct", config.max_tasks.max(1)),
        ("vor_requests", config.max_requests.max(1)),
    ]
}

/// Entries of the maps of `bpf/maps/lineage.h` and `bpf/maps/items.h`.
#[must_use]
pub fn items_sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    [lineage_sizes(config), vec![("vor_items", config.max_items.max(1))]].concat()
}

/// Entries of the map of `bpf/maps/async.h`.
#[must_use]
pub fn async_sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    vec![("vor_async_ids", config.max_items.max(1))]
}

/// One tracer.
#[derive(Debug)]
pub struct Unit {
    /// Its folder's name; also its stage on the health board.
    pub name: &'static str,
    /// The ways into the kernel, cheapest first. One of them is loaded.
    pub objects: &'static [Object],
    /// Its ring buffer; `None` when it only tells other programs in the kernel.
    pub ring: Option<&'static str>,
    /// Reads one record of the ring.
    pub decode: fn(&[u8]) -> Result<Captured, DecodeError>,
    /// Entries (of a ring: bytes) of maps that settings decide about.
    pub sizes: fn(&ProbeConfig) -> Vec<(&'static str, u32)>,
    /// Ends what waits too long.
    pub sweep: Option<Sweep>,
    /// Takes user space's word about a connection.
    pub judge: Option<Judge>,
    /// Finds its places in programs' own code; `None` when it watches the kernel only.
    pub code: Option<Code>,
}

/// One kernel object: loaded and attached as a whole, or not at all.
#[derive(Debug)]
pub struct Object {
    /// The door it goes through; `None` when the unit has no choice.
    pub door: Option<Door>,
    /// The ELF file.
    pub file: Packed,
    /// Where its programs are attached.
    pub hooks: &'static [Hook],
}

/// A set of places where the kernel can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Trampolines at kernel functions.
    Fentry,
    /// Breakpoints at kernel functions.
    Kprobe,
    /// Tracepoints at system calls.
    Syscall,
}

impl Door {
    /// All of them, cheapest first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Syscall];

    /// Its name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Syscall => "syscall",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One program at one place.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// The program's name in the object.
    pub program: &'static str,
    /// The place.
    pub at: At,
    /// What it means when the kernel does not have the place.
    pub need: Need,
    /// What the program gets from `bpf_get_attach_cookie` there: at tracepoints, and at returns of kernel functions.
    pub tag: u32,
}

/// A place in the kernel.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// Named by the program's section: `tp_btf/…`, `fentry/…`, `fexit/…`.
    Section,
    /// A tracepoint, as tracefs names it.
    Tracepoint {
        /// Its folder.
        category: &'static str,
        /// Its name.
        event: &'static str,
    },
    /// The entry of a kernel function.
    Kprobe(&'static str),
    /// The return of a kernel function.
    Kretprobe(&'static str),
    /// The root of the control groups, version 2: all processes.
    Cgroup,
    /// What sockets in a map send.
    Sockhash {
        /// The map.
        map: &'static str,
        /// The map of what is known of each socket.
        known: &'static str,
        /// Tries on sockets of vor's own, which it marks in `known`, whether this kernel leaves them unharmed.
        trial: fn(&MapHandle) -> Result<(), String>,
    },
}

/// What a missing place means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The object cannot work without it.
    Required,
    /// Some kernels do not have it, and nothing passes there on those.
    Optional,
}

impl Hook {
    /// A program that names its place in its section.
    #[must_use]
    pub const fn section(program: &'static str) -> Self {
        Self { program, at: At::Section, need: Need::Required, tag: 0 }
    }

    /// A program at a tracepoint.
    #[must_use]
    pub const fn tracepoint(
        program: &'static str,
        category: &'static str,
        event: &'static str,
    ) -> Self {
        Self { program, at: At::Tracepoint { category, event }, need: Need::Required, tag: 0 }
    }

    /// A program at the entry of a kernel function.
    #[must_use]
    pub const fn kprobe(program: &'static str, function: &'static str) -> Self {
        Self { program, at: At::Kprobe(function), need: Need::Required, tag: 0 }
    }

    /// A program at the return of a kernel function.
    #[must_use]
    pub const fn kretprobe(program: &'static str, function: &'static str) -> Self {
        Self { program, at: At::Kretprobe(function), need: Need::Required, tag: 0 }
    }

    /// A program at the root of the control groups.
    #[must_use]
    pub const fn cgroup(program: &'static str) -> Self {
        Self { program, at: At::Cgroup, need: Need::Required, tag: 0 }
    }

    /// A program at what sockets in `map` send, if the kernel passes the trial.
    #[must_use]
    pub const fn sockhash(
        program: &'static str,
        map: &'static str,
        known: &'static str,
        trial: fn(&MapHandle) -> Result<(), String>,
    ) -> Self {
        Self { program, at: At::Sockhash { map, known, trial }, need: Need::Required, tag: 0 }
    }

    /// The same, but some kernels do not have the place.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { need: Need::Optional, ..self }
    }

    /// The same with a tag.
    #[must_use]
    pub const fn tagged(self, tag: u32) -> Self {
        Self { tag, ..self }
    }
}

/// A program that user space runs once a second while exchanges are open, and when a process is retired.
#[derive(Debug)]
pub struct Sweep {
    /// The program, of section `syscall`.
    pub program: &'static str,
    /// Its argument, which it may write to.
    pub argument: fn(&Sweeping) -> Vec<u8>,
    /// Exchanges that are still open, from the argument after the run.
    pub open: fn(&[u8]) -> u32,
    /// Rows of [`ROWS`](crate::ROWS)' tables, in their order, from the same, if they were to be counted; empty: it does
    /// not count them.
    pub rows: fn(&[u8]) -> Vec<u32>,
}

/// What a sweep is to end.
#[derive(Debug, Clone, Copy)]
pub struct Sweeping {
    /// Requests that have waited for an answer so long. Zero: none.
    pub timeout: Duration,
    /// Answers of unknown length that have been silent so long.
    pub quiet: Duration,
    /// All connections of this pid.
    pub retired: Option<u32>,
    /// Rows of tables are counted, too.
    pub rows: bool,
}

/// A program that user space runs when it has decided about a connection.
#[derive(Debug)]
pub struct Judge {
    /// The program, of section `syscall`.
    pub program: &'static str,
    /// Its argument.
    pub argument: fn(ConnId, Mode) -> Vec<u8>,
}

/// What the kernel side is to do with a connection from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Pair requests with answers.
    Pairs,
    /// Send each message.
    Messages,
    /// Send nothing.
    Ignored,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends early.
    #[error("a record of {len} bytes is shorter than its {expected}")]
    Short {
        /// How long it is.
        len: usize,
        /// What should be in it.
        expected: &'static str,
    },
    /// A field has a value that nobody writes.
    #[error("field {field} of a record is {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A field has a text that nobody writes: the offset by which it was found is wrong.
    #[error("field {field} of a record is no such text")]
    Text {
        /// The field.
        field: &'static str,
    },
}

/// The ELF file of `<name>.bpf.c`.
macro_rules! object {
    ($name:literal) => {
        $crate::object::Packed(include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o.gz")))
    };
}
pub(crate) use object;
