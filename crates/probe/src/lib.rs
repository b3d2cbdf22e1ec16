// SPDX-License-Identifier: Apache-2.0
//! Everything that touches the kernel, and the C that runs in it.
//!
//! In: which processes to observe ([`Handle`]). Out: batches of [`Captured`] for the pipeline, [`Life`] for
//! discovery. One thread owns all kernel objects, one reads all rings; nothing here waits for anybody else.

mod admit;
pub mod code;
mod config;
mod counters;
mod files;
mod hook;
pub mod kernel;
mod object;
mod owner;
mod pseudofs;
mod ring;
mod running;
pub mod runtimes;
pub mod tracers;
mod units;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use vor_config::Propagation;
use vor_health::{Board, Counter};
use vor_model::{Captured, ConnId, Life, ProcessKey, Sampling};

use crate::admit::{Admissions, AdmitError};
use crate::owner::{Command, Owner};
use crate::ring::Outlets;
use crate::running::Refused;
use crate::runtimes::java::agent::AGENT;
use crate::runtimes::java::attach::Agents;
use crate::tracers::{Door, Mode};

pub use admit::Descend;
pub use config::{
    BatchLength, ContradictoryPropagation, DoorSetting, JavaAgentConfig, ProbeConfig, RingSize,
};
pub use counters::{COUNTED, Kept, LOST, LOST_BY_READER, ROWS};
pub use object::{ObjectError, Packed};
pub use tracers::flow as flows;

/// Commands that may wait for the thread that owns the kernel objects.
const COMMANDS: usize = 4096;
/// The stage under which commands are counted.
const STAGE: &str = "probe";

/// Why nothing can be observed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Capabilities are missing.
    #[error(
        "{0} missing: run vor as root, or give its file what it needs: \
         setcap cap_bpf,cap_perfmon,cap_dac_read_search,cap_sys_ptrace+ep, and cap_sys_admin where tracefs is not mounted"
    )]
    Privilege(String),
    /// The kernel does not describe its types.
    #[error(
        "the kernel gives no type information (BTF): vor needs a kernel built with CONFIG_DEBUG_INFO_BTF, \
         as those of all current distributions are ({0})"
    )]
    NoBtf(String),
    /// The table of offsets that was asked for cannot be read.
    #[error("ebpf.go_offsets: cannot read {path}: {error}")]
    GoOffsets {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// None of a unit's ways into the kernel works.
    #[error("no door into the kernel opens for {unit}: {}; `vor check` says more", list(.refusals))]
    NoDoor {
        /// The unit.
        unit: &'static str,
        /// What was tried, and why it did not work.
        refusals: Vec<Refusal>,
    },
    /// A unit does not hold what its description says: a defect of vor.
    #[error("unit {unit} is broken: {error}")]
    Unit {
        /// The unit.
        unit: &'static str,
        /// How.
        error: ObjectError,
    },
    /// Not one unit could be loaded.
    #[error("no kernel program could be loaded; `vor check` says why")]
    Nothing,
    /// The kernel does not take what was decided about new traces.
    #[error("cannot say which traces are sampled: {0}")]
    Sampling(libbpf_rs::Error),
    /// The machine has no room for a thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A way into the kernel that does not work.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Which.
    pub door: Option<Door>,
    /// Why not.
    pub why: String,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self { door: refused.door, why: refused.why.to_string() }
    }
}

fn list(refusals: &[Refusal]) -> String {
    let one = |refusal: &Refusal| match refusal.door {
        Some(door) => format!("{door}: {}", refusal.why),
        None => refusal.why.clone(),
    };
    refusals.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The kernel side at work, until it is stopped or dropped.
#[derive(Debug)]
pub struct Probe {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Brings all units into the kernel. Nothing is observed until it is admitted. Of the traces that begin in
    /// observed processes, those are sampled that `sampling` chooses. `writes` is all that any process may be
    /// admitted to write. JVMs get an agent if `java` is the
    /// time that they have to load it.
    ///
    /// Batches go to `captures`, process events to `life`; what finds them full is dropped and counted on
    /// `board` as `lost.full` of its unit.
    pub fn start(
        config: &ProbeConfig,
        java: Option<Duration>,
        sampling: Sampling,
        writes: Propagation,
        board: Arc<Board>,
        captures: Sender<Vec<Captured>>,
        life: SyncSender<Life>,
    ) -> Result<Self, ProbeError> {
        kernel::require_privileges()?;
        let (sender, told) = sync_channel(COMMANDS);
        let (ready, opened) = sync_channel(1);
        let commands = Commands::new(sender, &board);
        let agents = agents(java, &commands, &board).map_err(ProbeError::Thread)?;
        let batch_length = config.batch_length.get();
        let config = config.clone();
        let work = move || {
            let outlets = Outlets { captures, life, batch_length };
            match Owner::open(&config, sampling, writes, &board, outlets, agents) {
                Ok(owner) => {
                    // The other end waits for exactly one word.
                    let _ = ready.send(Ok(owner.admissions()));
                    owner.run(&told);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        };
        let thread = thread::Builder::new()
            .name("vor-probe".into())
            .spawn(work)
            .map_err(ProbeError::Thread)?;
        let admissions = opened.recv().map_err(|_| {
            ProbeError::Thread(io::Error::other("it ended while it loaded kernel programs"))
        })??;
        let handle = Handle { commands, admissions };
        Ok(Self { handle, thread: Some(thread) })
    }

    /// A way to speak to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes all programs out of the kernel, reads the rings a last time, and ends its threads.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Fails only when the thread has ended by itself.
        let _ = self.handle.commands.sender.send(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the thread that owns the kernel objects has panicked");
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.end();
    }
}

/// What has JVMs load the agent, if it is wanted.
fn agents(
    java: Option<Duration>,
    commands: &Commands,
    board: &Arc<Board>,
) -> io::Result<Option<Agents>> {
    let commands = commands.clone();
    // Its code is there now, and programs can stand in it.
    let loaded = move |process| commands.tell(Command::Probe(process));
    java.map(|limit| Agents::start(AGENT, limit, board, loaded)).transpose()
}

/// The way to the thread that owns the kernel objects. A command for which it has no room is dropped and counted.
#[derive(Debug, Clone)]
struct Commands {
    sender: SyncSender<Command>,
    taken: Counter,
    given: Counter,
    full: Counter,
}

impl Commands {
    fn new(sender: SyncSender<Command>, board: &Board) -> Self {
        let count = |what| board.counter(STAGE, what);
        Self { sender, taken: count("in"), given: count("out"), full: count("lost.full") }
    }

    fn tell(&self, command: Command) {
        let counter = match self.sender.try_send(command) {
            Ok(()) => &self.given,
            Err(TrySendError::Full(_)) => &self.full,
            // It has ended, and with it everything that a command is about.
            Err(TrySendError::Disconnected(_)) => return,
        };
        self.taken.inc();
        counter.inc();
    }
}

/// Speaks to a [`Probe`]. Cheap to clone; nothing in it waits.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: Commands,
    admissions: Arc<Admissions>,
}

impl Handle {
    /// Observes a process: when it returns true, what the process does from now on is seen. False: it is gone,
    /// or the kernel refuses, which is in the log. The places of its calls are written as `writes` says.
    pub fn admit(&self, process: ProcessKey, descend: Descend, writes: Propagation) -> bool {
        match self.admissions.admit(process, descend, writes) {
            Ok(()) => {
                self.commands.tell(Command::Probe(process));
                return true;
            }
            Err(error @ AdmitError::Gone(_)) => tracing::debug!(%error, "not observed"),
            Err(error @ AdmitError::Kernel { .. }) => tracing::warn!(%error, "not observed"),
        }
        false
    }

    /// Observes a process no longer, and ends its exchanges.
    pub fn retire(&self, process: ProcessKey) {
        self.commands.tell(Command::Retire(process));
    }

    /// Says what becomes of a connection.
    pub fn judge(&self, conn: ConnId, mode: Mode) {
        self.commands.tell(Command::Judge(conn, mode));
    }

    /// Exchanges that the kernel has seen begin in an observed process. `None`: it is not observed, or gone.
    #[must_use]
    pub fn exchanges(&self, process: ProcessKey) -> Option<u64> {
        self.admissions.exchanges(process)
    }
}
