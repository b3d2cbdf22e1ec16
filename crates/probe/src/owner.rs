// SPDX-License-Identifier: Apache-2.0
//! The thread `vor-probe`, which owns all kernel objects: loads them, takes commands, and once a second ends what
//! waits too long, copies the kernel's counters and looks at files that processes have mapped since.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use vor_config::Propagation;
use vor_health::Board;
use vor_model::{ConnId, ProcessKey, Sampling};

use crate::ProbeError;
use crate::admit::Admissions;
use crate::config::ProbeConfig;
use crate::files::Files;
use crate::hook::remove_leftovers;
use crate::ring::{Drain, Outlets};
use crate::runtimes::java::attach::Agents;
use crate::tracers::Mode;
use crate::units::Units;

/// Time between two sweeps.
const TICK: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Look at the code of a process that was admitted.
    Probe(ProcessKey),
    Retire(ProcessKey),
    Judge(ConnId, Mode),
    Stop,
}

/// Everything in the kernel.
pub(crate) struct Owner {
    /// Dropped first: it stands in the units' way out of the kernel.
    files: Files,
    units: Units,
    admissions: Arc<Admissions>,
}

impl Owner {
    /// Brings all units into the kernel.
    pub(crate) fn open(
        config: &ProbeConfig,
        sampling: Sampling,
        writes: Propagation,
        board: &Arc<Board>,
        outlets: Outlets,
        agents: Option<Agents>,
    ) -> Result<Self, ProbeError> {
        remove_leftovers();
        let drain = Drain::start(outlets).map_err(ProbeError::Thread)?;
        let units = Units::open(config, sampling, writes, board, drain)?;
        let admissions = Arc::new(units.admissions()?);
        Ok(Self { files: Files::new(config, writes, board, agents)?, units, admissions })
    }

    pub(crate) fn admissions(&self) -> Arc<Admissions> {
        Arc::clone(&self.admissions)
    }

    /// Works until it is told to stop or nobody can tell it anything any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut next = Instant::now() + TICK;
        loop {
            match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Command::Probe(process)) => self.files.observe(process, &mut self.units),
                Ok(Command::Retire(process)) => {
                    self.admissions.retire(process);
                    self.units.retire(process);
                    self.files.retire(process);
                }
                Ok(Command::Judge(conn, mode)) => self.units.judge(conn, mode),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            // Commands may come without a pause.
            if Instant::now() >= next {
                self.units.tick();
                self.files.tick(&mut self.units);
                next = Instant::now() + TICK;
            }
        }
        self.files.detach();
        self.units.stop();
    }
}
