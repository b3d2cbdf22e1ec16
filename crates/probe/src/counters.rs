// SPDX-License-Identifier: Apache-2.0
//! The kernel side's counters (`bpf/lib/lost.h`) → the health board, under the unit's name.
//!
//! What the kernel side lost never came through the ring, so it is added to the stage's `in` as well: the stage
//! keeps in = out + all lost.

use std::sync::Arc;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use vor_health::{Board, Counter};

use crate::object::{Loaded, ObjectError};
use crate::tracers::wire::{
    COUNT_EXCHANGES_CLAIMED, COUNT_EXCHANGES_DROPPED, COUNT_EXCHANGES_ENDED,
    COUNT_EXCHANGES_OPENED, COUNT_LAYOUTS, COUNT_PAIRS_FULL, COUNT_REQUESTS_FULL,
    COUNT_STRAY_BYTES, COUNT_TASKS_FULL, COUNT_WIRE_HEARD, COUNT_WIRE_KEPT, COUNT_WIRE_SOCKETS,
    COUNT_WIRE_STRANGERS, COUNT_WIRE_UNFIT, COUNT_WIRE_WRITTEN, LOST_ADMIT, LOST_CALL,
    LOST_CONN_BUSY, LOST_CONN_FULL, LOST_RING_FULL, LOST_SEGMENTS,
};

/// The map that every object has.
const MAP: &str = "counters";

/// A counter of the kernel side.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Its place in the map.
    pub index: u32,
    /// Its name on the board.
    pub what: &'static str,
    /// What it counts, and what to do about it.
    pub meaning: &'static str,
}

/// Reasons for which the kernel side loses something.
pub const LOST: [Kept; 6] = [
    Kept {
        index: LOST_RING_FULL,
        what: "lost.ring_full",
        meaning: "records that found the ring full: vor was too slow for a moment; raise `ebpf.ring_size`",
    },
    Kept {
        index: LOST_CONN_BUSY,
        what: "lost.conn_busy",
        meaning: "operations on a connection that other threads were working on for too long",
    },
    Kept {
        index: LOST_CONN_FULL,
        what: "lost.conn_full",
        meaning: "operations on connections beyond `ebpf.max_connections`",
    },
    Kept {
        index: LOST_SEGMENTS,
        what: "lost.segments",
        meaning: "calls that moved more messages at once than are looked at",
    },
    Kept {
        index: LOST_CALL,
        what: "lost.call",
        meaning: "calls that the kernel had no memory to remember",
    },
    Kept {
        index: LOST_ADMIT,
        what: "lost.admit",
        meaning: "children of observed processes that the kernel had no memory to observe from their start",
    },
];

/// What else the kernel side counts.
pub const COUNTED: [Kept; 15] = [
    Kept {
        index: COUNT_EXCHANGES_OPENED,
        what: "exchanges.opened",
        meaning: "exchanges that began",
    },
    Kept {
        index: COUNT_EXCHANGES_ENDED,
        what: "exchanges.ended",
        meaning: "exchanges that ended and were sent",
    },
    Kept {
        index: COUNT_EXCHANGES_DROPPED,
        what: "exchanges.dropped",
        meaning: "exchanges that were open when user space decided about their connection, or when their process ended",
    },
    Kept {
        index: COUNT_EXCHANGES_CLAIMED,
        what: "exchanges.claimed",
        meaning: "exchanges that were open in `socket` when a library's unit took their connection over",
    },
    Kept {
        index: COUNT_STRAY_BYTES,
        what: "stray",
        meaning: "operations whose bytes belong to no exchange",
    },
    Kept {
        index: COUNT_TASKS_FULL,
        what: "unlinked.tasks_full",
        meaning: "times a task's request could not be noted for want of room: raise `ebpf.max_tasks`",
    },
    Kept {
        index: COUNT_REQUESTS_FULL,
        what: "unlinked.requests_full",
        meaning: "requests to which no call will be linked for want of room: raise `ebpf.max_requests`",
    },
    Kept {
        index: COUNT_PAIRS_FULL,
        what: "unlinked.pairs_full",
        meaning: "calls to which their other end will not be linked for want of room: raise `ebpf.max_requests`",
    },
    Kept {
        index: COUNT_LAYOUTS,
        what: "unlinked.layouts",
        meaning: "threads of a runtime whose memory is laid out like that of no version that is known: its calls are linked as those of any thread",
    },
    Kept {
        index: COUNT_WIRE_SOCKETS,
        what: "wire.sockets",
        meaning: "connections opened by processes whose calls are to be written (`ebpf.context_propagation`)",
    },
    Kept {
        index: COUNT_WIRE_STRANGERS,
        what: "wire.strangers",
        meaning: "connections opened by other processes, which are left alone",
    },
    Kept {
        index: COUNT_WIRE_WRITTEN,
        what: "wire.written",
        meaning: "calls whose place in a trace was written into what was sent",
    },
    Kept {
        index: COUNT_WIRE_HEARD,
        what: "wire.heard",
        meaning: "places in a trace that arrived in options of TCP segments",
    },
    Kept {
        index: COUNT_WIRE_KEPT,
        what: "wire.kept",
        meaning: "requests that have a `traceparent` of their own, which is kept",
    },
    Kept {
        index: COUNT_WIRE_UNFIT,
        what: "wire.unfit",
        meaning: "calls that could not be written: no room in the segment's header, an end of the request's head that cannot be seen, a send buffer that is nearly full, or no room in a program's own buffer",
    },
];

/// Tables of the kernel side: the gauge of their rows, and what bounds them. They are counted every ten seconds while
/// there are exchanges.
pub const ROWS: [(&str, &str); 4] = [
    ("rows.connections", "connections, of `ebpf.max_connections`"),
    ("rows.tasks", "threads, goroutines and the like that served requests, of `ebpf.max_tasks`"),
    ("rows.requests", "requests that are served, of `ebpf.max_requests`"),
    (
        "rows.calls",
        "calls whose other end has not been seen, and which are not over, of `ebpf.max_requests`",
    ),
];

/// Reasons for which the reader of the rings loses something.
pub const LOST_BY_READER: [(&str, &str); 2] = [
    ("lost.full", "captures that found the queue in front of the pipeline or of discovery full"),
    ("lost.decode", "records that do not read as what their unit sends: a defect of vor"),
];

/// One object's counters.
#[derive(Debug)]
pub(crate) struct Counters {
    map: MapHandle,
    stage: &'static str,
    board: Arc<Board>,
    taken: Counter,
    lost: Vec<(u32, Counter)>,
}

impl Counters {
    pub(crate) fn new(
        object: &Loaded,
        stage: &'static str,
        board: &Arc<Board>,
    ) -> Result<Self, ObjectError> {
        let of = |kept: &Kept| (kept.index, board.counter(stage, kept.what));
        Ok(Self {
            map: object.map(MAP)?,
            stage,
            board: Arc::clone(board),
            taken: board.counter(stage, "in"),
            lost: LOST.iter().map(of).collect(),
        })
    }

    /// Copies the kernel's counts to the board; returns how many exchanges have begun.
    pub(crate) fn copy(&self) -> u64 {
        let kept = self.read();
        for (index, counter) in &self.lost {
            let now = kept.of(*index);
            self.taken.add(now.saturating_sub(counter.get()));
            counter.set(now);
        }
        for counted in COUNTED {
            // What a unit never counts is not shown for it.
            let now = kept.of(counted.index);
            if now > 0 {
                self.board.counter(self.stage, counted.what).set(now);
            }
        }
        kept.of(COUNT_EXCHANGES_OPENED)
    }

    /// Says how many rows the tables of [`ROWS`] have.
    pub(crate) fn full(&self, rows: &[u32]) {
        for ((what, _), rows) in ROWS.iter().zip(rows) {
            self.board.counter(self.stage, what).set(u64::from(*rows));
        }
    }

    fn read(&self) -> Counts {
        Counts(match self.map.lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY) {
            Ok(Some(per_cpu)) => per_cpu,
            Ok(None) | Err(_) => Vec::new(),
        })
    }
}

/// All counts of an object at one moment, by CPU.
struct Counts(Vec<Vec<u8>>);

impl Counts {
    /// The count at `index`, of all CPUs.
    fn of(&self, index: u32) -> u64 {
        let at = usize::try_from(index).map_or(usize::MAX, |index| index * size_of::<u64>());
        let number =
            |bytes: &Vec<u8>| bytes.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes);
        self.0.iter().filter_map(number).sum()
    }
}
