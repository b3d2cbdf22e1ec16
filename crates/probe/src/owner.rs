// SPDX-License-Identifier: Apache-2.0
//! The thread `vor-probe`, which owns all kernel objects: loads them, takes commands, and once a second ends what
//! waits too long and copies the kernel's counters.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use libbpf_rs::btf::Btf;
use vor_health::{Board, Verdict};
use vor_model::{ConnId, ProcessKey};

use crate::admit::{self, Admissions};
use crate::config::ProbeConfig;
use crate::counters::Counters;
use crate::hook::remove_leftovers;
use crate::ring::{Drain, Outlets, Ring};
use crate::running::{Loader, Refused, Running};
use crate::tracers::{self, Mode, Sweeping};
use crate::{ProbeError, Refusal};

/// Time between two sweeps.
const TICK: Duration = Duration::from_secs(1);
/// An answer whose end cannot be seen is over when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Retire(ProcessKey),
    Judge(ConnId, Mode),
    Stop,
}

/// Everything in the kernel.
pub(crate) struct Owner {
    units: Vec<Watched>,
    admissions: Arc<Admissions>,
    drain: Drain,
    timeout: Duration,
}

/// A running unit and what was last seen of its exchanges.
struct Watched {
    running: Running,
    counters: Counters,
    open: Cell<u32>,
    opened: Cell<u64>,
}

impl Owner {
    /// Brings all units into the kernel.
    pub(crate) fn open(
        config: &ProbeConfig,
        board: &Arc<Board>,
        outlets: Outlets,
    ) -> Result<Self, ProbeError> {
        let kernel =
            Btf::from_vmlinux().map_err(|error| ProbeError::NoBtf(format!("{error:#}")))?;
        remove_leftovers();
        let mut loader = Loader::new(config, &kernel);
        let mut units = Vec::new();
        for unit in tracers::ALL {
            let (running, refused) = loader.first(unit);
            for refused in &refused {
                let door = refused.door.map(tracing::field::display);
                tracing::debug!(unit = unit.name, door, why = %refused.why, "does not open");
            }
            match running {
                Some(running) => units.push(Watched::new(running, board)?),
                None => give_up(unit, refused, board)?,
            }
        }
        let rings = units.iter().map(Watched::ring).collect::<Result<_, _>>()?;
        let admit = units.iter().find_map(|watched| watched.running.map(admit::MAP).ok());
        let admissions = admit.map(Admissions::new).ok_or(ProbeError::Nothing)?;
        let drain = Drain::start(rings, outlets, board).map_err(ProbeError::Thread)?;
        let timeout = config.http_request_timeout.get();
        Ok(Self { units, admissions: Arc::new(admissions), drain, timeout })
    }

    pub(crate) fn admissions(&self) -> Arc<Admissions> {
        Arc::clone(&self.admissions)
    }

    /// Works until it is told to stop or nobody can tell it anything any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut next = Instant::now() + TICK;
        loop {
            match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Command::Retire(process)) => self.retire(process),
                Ok(Command::Judge(conn, mode)) => self.judge(conn, mode),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            // Commands may come without a pause.
            if Instant::now() >= next {
                self.tick();
                next = Instant::now() + TICK;
            }
        }
        for watched in &mut self.units {
            watched.running.detach();
        }
        self.drain.stop();
        for watched in &self.units {
            watched.counters.copy();
        }
    }

    fn retire(&self, process: ProcessKey) {
        self.admissions.retire(process);
        for watched in &self.units {
            watched.sweep(self.timeout, Some(process.pid));
        }
    }

    fn judge(&self, conn: ConnId, mode: Mode) {
        for watched in &self.units {
            watched.running.judge(conn, mode);
        }
    }

    fn tick(&self) {
        for watched in &self.units {
            watched.counters.copy();
            watched.sweep_if_open(self.timeout);
        }
    }
}

/// A unit that has no door is why vor cannot work; any other fails alone.
fn give_up(
    unit: &'static tracers::Unit,
    refused: Vec<Refused>,
    board: &Board,
) -> Result<(), ProbeError> {
    let refusals: Vec<Refusal> = refused.into_iter().map(Refusal::from).collect();
    if unit.objects.iter().any(|object| object.door.is_some()) {
        return Err(ProbeError::NoDoor { unit: unit.name, refusals });
    }
    let why = refusals.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>().join("; ");
    if board.judge(unit.name, Verdict::Failed(why.clone())) {
        tracing::warn!(unit = unit.name, %why, "not loaded");
    }
    Ok(())
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
        Ok(Self { running, counters, open: Cell::new(0), opened: Cell::new(0) })
    }

    fn ring(&self) -> Result<Ring, ProbeError> {
        let unit = self.running.unit;
        let map = self
            .running
            .map(unit.ring)
            .map_err(|error| ProbeError::Unit { unit: unit.name, error })?;
        Ok(Ring { unit, map })
    }

    /// A sweep walks over all connections: none without an exchange that was open or has begun since the last.
    fn sweep_if_open(&self, timeout: Duration) {
        if self.running.unit.sweep.is_none() {
            return;
        }
        let opened = self.counters.opened();
        if self.open.get() == 0 && self.opened.replace(opened) == opened {
            return;
        }
        self.sweep(timeout, None);
    }

    fn sweep(&self, timeout: Duration, retired: Option<u32>) {
        self.open.set(self.running.sweep(&Sweeping { timeout, quiet: QUIET, retired }));
    }
}
