// SPDX-License-Identifier: Apache-2.0
//! The units that are in the kernel: those of the start, and those that are loaded when a program first needs
//! them.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libbpf_rs::btf::Btf;
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use vor_config::Propagation;
use vor_health::{Board, Verdict};
use vor_model::{ConnId, ProcessKey, Sampling};
use zerocopy::IntoBytes;

use crate::admit::{self, Admissions};
use crate::code::Plan;
use crate::config::ProbeConfig;
use crate::counters::Counters;
use crate::object::{ObjectError, Shared};
use crate::ring::{Drain, Ring};
use crate::running::{AttachedCode, Loader, Refused, Running};
use crate::tracers::wire::TraceSampling;
use crate::tracers::{self, Mode, Sweeping, Unit, propagate};
use crate::{ProbeError, Refusal};

/// An answer whose end cannot be seen is over when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(1);

/// Shortest time between two counts of rows: a count looks at each place of each table.
const COUNTING: Duration = Duration::from_secs(10);

/// The map that says which new traces are sampled (`bpf/lib/trace.h`).
const SAMPLING: &str = "vor_sampling";

/// All units in the kernel.
pub(crate) struct Units {
    config: ProbeConfig,
    board: Arc<Board>,
    shared: Shared,
    watched: Vec<Watched>,
    drain: Drain,
    /// Units that could not be loaded when they were needed.
    failed: Vec<&'static str>,
}

/// A running unit and what was last seen of its exchanges.
struct Watched {
    running: Running,
    counters: Counters,
    open: Cell<u32>,
    opened: Cell<u64>,
    /// When rows of its tables were counted.
    counted: Cell<Instant>,
    /// Whether they may be others since.
    uncounted: Cell<bool>,
}

fn write_sampling(map: &MapHandle, sampling: Sampling) -> libbpf_rs::Result<()> {
    let rule = TraceSampling {
        below: sampling.below,
        parent_based: sampling.parent_based.into(),
        _pad: [0; 7],
    };
    map.update(&0_u32.to_ne_bytes(), rule.as_bytes(), MapFlags::ANY)
}

impl Units {
    /// Brings the tracers into the kernel.
    pub(crate) fn open(
        config: &ProbeConfig,
        sampling: Sampling,
        writes: Propagation,
        board: &Arc<Board>,
        drain: Drain,
    ) -> Result<Self, ProbeError> {
        let mut units = Self {
            config: config.clone(),
            board: Arc::clone(board),
            shared: Shared::default(),
            watched: Vec::new(),
            drain,
            failed: Vec::new(),
        };
        let kernel = types()?;
        for unit in tracers::ALL.iter().copied().chain(propagate::units(writes)) {
            if let Err(refused) = units.load(unit, &kernel)? {
                give_up(unit, refused, board)?;
            }
        }
        let map = units.watched.iter().find_map(|watched| watched.running.map(SAMPLING).ok());
        if let Some(map) = map {
            write_sampling(&map, sampling).map_err(ProbeError::Sampling)?;
        }
        Ok(units)
    }

    /// The list of observed processes.
    pub(crate) fn admissions(&self) -> Result<Admissions, ProbeError> {
        let admit = self.watched.iter().find_map(|watched| watched.running.map(admit::MAP).ok());
        admit.map(Admissions::new).ok_or(ProbeError::Nothing)
    }

    fn load(
        &mut self,
        unit: &'static Unit,
        kernel: &Btf<'_>,
    ) -> Result<Result<(), Vec<Refused>>, ProbeError> {
        let mut loader = Loader::new(&self.config, kernel, &mut self.shared);
        let (running, refused) = loader.first(unit);
        for refused in &refused {
            let door = refused.door.map(tracing::field::display);
            tracing::debug!(unit = unit.name, door, why = %refused.why, "does not open");
        }
        let Some(running) = running else { return Ok(Err(refused)) };
        let watched = Watched::new(running, &self.board)?;
        if let Some(ring) = watched.ring()? {
            self.drain.add(ring, &self.board);
        }
        self.watched.push(watched);
        Ok(Ok(()))
    }

    /// The unit, which is loaded when it is not there yet. `None`: it cannot be, which was said.
    fn need(&mut self, unit: &'static Unit) -> Option<&Watched> {
        let is = |watched: &Watched| watched.running.unit.name == unit.name;
        if !self.watched.iter().any(is) && !self.failed.contains(&unit.name) {
            let loaded = types().and_then(|kernel| self.load(unit, &kernel));
            let why = match loaded {
                Ok(Ok(())) => None,
                Ok(Err(refused)) => Some(list(refused)),
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                self.failed.push(unit.name);
                fail(unit, &why, &self.board);
            }
        }
        self.watched.iter().find(|watched| is(watched))
    }

    /// Loads a unit that is about to be needed. What it cannot is said.
    pub(crate) fn bring(&mut self, unit: &'static Unit) {
        self.need(unit);
    }

    /// Attaches `unit` as `plan` says to the file at `path`. `None`: the unit cannot be loaded.
    pub(crate) fn attach_code(
        &mut self,
        unit: &'static Unit,
        path: &Path,
        plan: &Plan,
        file: u32,
    ) -> Option<Result<AttachedCode, ObjectError>> {
        self.need(unit).map(|watched| watched.running.attach_code(path, plan, file))
    }

    /// Ends the exchanges of a process.
    pub(crate) fn retire(&self, process: ProcessKey) {
        for watched in &self.watched {
            let timeout = self.config.http_request_timeout.get();
            watched.sweep(&Sweeping {
                timeout,
                quiet: QUIET,
                retired: Some(process.pid),
                rows: false,
            });
        }
    }

    /// Says what becomes of a connection.
    pub(crate) fn judge(&self, conn: ConnId, mode: Mode) {
        for watched in &self.watched {
            watched.running.judge(conn, mode);
        }
    }

    /// Copies counters and ends what waits too long.
    pub(crate) fn tick(&self) {
        for watched in &self.watched {
            let opened = watched.counters.copy();
            watched.sweep_if_open(opened, self.config.http_request_timeout.get());
        }
    }

    /// Detaches everything, then reads the rings a last time.
    pub(crate) fn stop(mut self) {
        for watched in &mut self.watched {
            watched.running.detach();
        }
        self.drain.stop();
        for watched in &self.watched {
            watched.counters.copy();
        }
    }
}

fn types() -> Result<Btf<'static>, ProbeError> {
    Btf::from_vmlinux().map_err(|error| ProbeError::NoBtf(format!("{error:#}")))
}

/// A unit that has no door is why vor cannot work; any other fails alone.
fn give_up(unit: &'static Unit, refused: Vec<Refused>, board: &Board) -> Result<(), ProbeError> {
    if unit.objects.iter().any(|object| object.door.is_some()) {
        let refusals = refused.into_iter().map(Refusal::from).collect();
        return Err(ProbeError::NoDoor { unit: unit.name, refusals });
    }
    fail(unit, &list(refused), board);
    Ok(())
}

fn list(refused: Vec<Refused>) -> String {
    let refusals = refused.into_iter().map(|refused| Refusal::from(refused).why);
    refusals.collect::<Vec<_>>().join("; ")
}

fn fail(unit: &'static Unit, why: &str, board: &Board) {
    if board.judge(unit.name, Verdict::Failed(why.to_owned())) {
        tracing::warn!(unit = unit.name, %why, "not loaded");
    }
}

impl Watched {
    fn new(running: Running, board: &Arc<Board>) -> Result<Self, ProbeError> {
        let name = running.unit.name;
        let counters =
            running.counters(board).map_err(|error| ProbeError::Unit { unit: name, error })?;
        if board.judge(name, Verdict::Active)
            && let Some(door) = running.door
        {
            tracing::info!(unit = name, %door, "attached");
        }
        Ok(Self {
            running,
            counters,
            open: Cell::new(0),
            opened: Cell::new(0),
            counted: Cell::new(Instant::now()),
            uncounted: Cell::new(false),
        })
    }

    fn ring(&self) -> Result<Option<Ring>, ProbeError> {
        let unit = self.running.unit;
        let map = unit.ring.map(|ring| self.running.map(ring)).transpose();
        let map = map.map_err(|error| ProbeError::Unit { unit: unit.name, error })?;
        Ok(map.map(|map| Ring { unit, map }))
    }

    /// A sweep walks over all connections: none without an exchange that was open or has begun since the last, but for
    /// one more that counts what there is then. `opened`: exchanges that have begun.
    fn sweep_if_open(&self, opened: u64, timeout: Duration) {
        if self.running.unit.sweep.is_none() {
            return;
        }
        let idle = self.opened.replace(opened) == opened && self.open.get() == 0;
        let rows = self.uncounted.get() && self.counted.get().elapsed() >= COUNTING;
        if !idle || rows {
            self.sweep(&Sweeping { timeout, quiet: QUIET, retired: None, rows });
        }
    }

    fn sweep(&self, what: &Sweeping) {
        let (open, rows) = self.running.sweep(what);
        self.open.set(open);
        self.uncounted.set(!what.rows || open > 0);
        if what.rows {
            self.counted.set(Instant::now());
            self.counters.full(&rows);
        }
    }
}
