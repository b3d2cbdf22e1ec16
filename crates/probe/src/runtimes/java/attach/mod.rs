// SPDX-License-Identifier: Apache-2.0
//! Has JVMs of observed processes load the agent (`HotSpot`, JDK 8 to 25).
//!
//! In: processes that have mapped a JVM ([`Agents::consider`]). Out: the agent in them, and then one more look at their
//! files. All of it on the thread `vor-attach`, because a JVM may take its time; each process is tried once.
//!
//! A JVM opens a socket for such requests when it finds a certain file after SIGQUIT. The signal is sent at most once,
//! and only if the JVM handles it; where the socket is open already, none is. Files that this takes are made as the
//! JVM's own user, and removed whatever comes of it.
//!
//! Counted as stage `agents`: `in` JVMs are `out`, with the agent loaded, or `lost.refused`, with the reason as the
//! verdict on the unit `java`, `lost.gone`, `lost.full`. Those that are not up yet, or are being asked, are on the way.

mod guise;
mod place;
mod talk;
mod target;
#[cfg(test)]
mod tests;
mod time;

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use vor_health::{Board, Counter, Verdict};
use vor_model::ProcessKey;

use super::agent::{AGENT_NAME, failure};
use super::{LIBRARY, UNIT};
use guise::wearing;
use place::{Placed, Trigger};
use target::{Target, can_see_nameless};
use time::{POLL, Time};

/// The library of `OpenJ9`, which has one of the JVM's name too.
const OPENJ9: &str = "libj9vm";
/// JVMs that may wait to be asked.
const QUEUE: usize = 256;
/// Time between two looks at JVMs that are not up yet.
const LOOK: Duration = Duration::from_millis(250);
/// How long a JVM has answered signals when it is asked: it does so before it can load agents.
const SETTLED: Duration = Duration::from_secs(1);
/// A JVM may take so many times `javaagent.attach_timeout` to come up.
const PATIENCE: u32 = 3;
/// How long the file stays at least after the signal.
const GRACE: Duration = Duration::from_millis(500);
/// How long the end of vor waits for a JVM that is being asked.
const LEAVE: Duration = Duration::from_secs(1);

/// Why a JVM does not get the agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the process has ended")]
    Gone,
    #[error("vor is ending")]
    Ending,
    #[error("OpenJ9 is not supported, only HotSpot is")]
    OpenJ9,
    #[error("its arguments forbid it ({0})")]
    Forbidden(&'static str),
    #[error("it does not handle SIGQUIT, by which a JVM is asked to take requests")]
    Deaf,
    #[error("another program seems to ask it for something: a file .attach_pid… is there")]
    Busy,
    #[error("vor may not look at it ({0}): that needs CAP_SYS_PTRACE")]
    Hidden(Errno),
    #[error(
        "vor could not find the agent's code again: that needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN"
    )]
    Unseen,
    #[error("vor may not act as its user ({0}): that needs CAP_SETUID and CAP_SETGID")]
    User(Errno),
    #[error("no folder takes a file with code: its TMPDIR, /tmp, /var/tmp, /dev/shm ({0})")]
    NoFolder(Errno),
    #[error("its user may not send it SIGQUIT ({0})")]
    Signal(Errno),
    #[error("its socket .java_pid… cannot be used ({0})")]
    Socket(Errno),
    #[error("another process answers at its socket .java_pid…")]
    Stranger,
    #[error("the JVM says: {0}")]
    Said(String),
    #[error("the agent cannot do its work there: {}", failure(*.0))]
    Agent(i32),
    #[error("no answer within {}s", .0.as_secs_f32())]
    Silent(Duration),
}

/// What the libraries of a process say of it.
#[derive(Debug, Default)]
pub(crate) struct Sighting {
    machine: Cell<bool>,
    openj9: Cell<bool>,
    agent: Cell<bool>,
}

impl Sighting {
    /// It has mapped this.
    pub(crate) fn see(&self, path: &Path) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
        // A file that was removed has more behind its name.
        let seen = match name {
            LIBRARY => &self.machine,
            name if name.starts_with(OPENJ9) => &self.openj9,
            name if name.starts_with(AGENT_NAME) => &self.agent,
            _ => return,
        };
        seen.set(true);
    }
}

/// Asks JVMs, until dropped.
#[derive(Debug)]
pub(crate) struct Agents {
    /// None at the end.
    asked: Option<SyncSender<ProcessKey>>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    ending: Arc<AtomicBool>,
    verdicts: Verdicts,
    taken: Counter,
    full: Counter,
}

impl Agents {
    /// Begins to wait for JVMs, which have `limit` to answer. `loaded` is told which have loaded the agent.
    pub(crate) fn start(
        agent: &'static [u8],
        limit: Duration,
        board: &Arc<Board>,
        loaded: impl Fn(ProcessKey) + Send + 'static,
    ) -> io::Result<Self> {
        let (asked, to_ask) = sync_channel(QUEUE);
        let (alive, ended) = sync_channel(0);
        let ending = Arc::new(AtomicBool::new(false));
        let verdicts = Verdicts::new(board);
        let work = Asker {
            agent,
            limit,
            loaded: Box::new(loaded),
            ending: Arc::clone(&ending),
            verdicts: verdicts.clone(),
            waiting: Vec::new(),
        };
        Builder::new().name("vor-attach".into()).spawn(move || {
            work.run(&to_ask);
            drop(alive);
        })?;
        let count = |what| board.counter("agents", what);
        let (taken, full) = (count("in"), count("lost.full"));
        Ok(Self { asked: Some(asked), ended, ending, verdicts, taken, full })
    }

    /// Has the agent loaded by a process that has mapped a JVM and not the agent, unless it was `asked` before. Returns
    /// whether its JVM was asked now or before: a process that goes over to another program has another one.
    pub(crate) fn consider(&self, process: ProcessKey, seen: &Sighting, asked: bool) -> bool {
        let has_jvm = seen.machine.get() || seen.openj9.get();
        // A child is a copy of its parent, with the agent, until it runs a program of its own.
        if asked || !has_jvm || seen.agent.get() {
            return asked && has_jvm;
        }
        self.taken.inc();
        if seen.openj9.get() {
            self.verdicts.refuse(None, &Refusal::OpenJ9);
        } else if let Some(Err(TrySendError::Full(_))) =
            self.asked.as_ref().map(|asked| asked.try_send(process))
        {
            self.full.inc();
        }
        true
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.asked = None;
        // Nobody waits longer for a process that holds up who looks at it.
        let _ = self.ended.recv_timeout(LEAVE);
    }
}

/// Says what became of JVMs.
#[derive(Debug, Clone)]
struct Verdicts {
    board: Arc<Board>,
    given: Counter,
    refused: Counter,
    gone: Counter,
}

impl Verdicts {
    fn new(board: &Arc<Board>) -> Self {
        let count = |what| board.counter("agents", what);
        Self {
            given: count("out"),
            refused: count("lost.refused"),
            gone: count("lost.gone"),
            board: Arc::clone(board),
        }
    }

    fn refuse(&self, program: Option<&Path>, why: &Refusal) {
        match why {
            Refusal::Ending => {}
            Refusal::Gone => self.gone.inc(),
            why => {
                self.refused.inc();
                self.degrade(program, why);
            }
        }
    }

    fn degrade(&self, program: Option<&Path>, why: &Refusal) {
        let program = program.map(|program| format!("{}: ", program.display()));
        let why = format!("{}{why}", program.unwrap_or_default());
        if self.board.judge(UNIT.name, Verdict::Degraded(why.clone())) {
            tracing::warn!(unit = UNIT.name, %why, "JVMs are observed without the agent");
        }
    }
}

/// The thread `vor-attach`.
struct Asker {
    agent: &'static [u8],
    limit: Duration,
    loaded: Box<dyn Fn(ProcessKey) + Send>,
    ending: Arc<AtomicBool>,
    verdicts: Verdicts,
    waiting: Vec<Waiting>,
}

/// A JVM that is not up yet.
struct Waiting {
    process: ProcessKey,
    since: Instant,
    /// Since when it looks as if it were.
    up: Option<Instant>,
}

impl Waiting {
    fn new(process: ProcessKey) -> Self {
        Self { process, since: Instant::now(), up: None }
    }
}

impl Asker {
    fn run(mut self, to_ask: &Receiver<ProcessKey>) {
        while !self.ending.load(Ordering::Relaxed) {
            let room = QUEUE.saturating_sub(self.waiting.len());
            if room == 0 {
                thread::sleep(LOOK);
            } else {
                match to_ask.recv_timeout(LOOK) {
                    Ok(process) => self.waiting.push(Waiting::new(process)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                self.waiting.extend(to_ask.try_iter().take(room - 1).map(Waiting::new));
            }
            let waiting = std::mem::take(&mut self.waiting);
            self.waiting = waiting.into_iter().filter_map(|waiting| self.turn(waiting)).collect();
        }
    }

    /// One look at a JVM. `None`: it is settled what becomes of it.
    fn turn(&self, mut waiting: Waiting) -> Option<Waiting> {
        if self.ending.load(Ordering::Relaxed) {
            return None;
        }
        let process = waiting.process;
        let target = match Target::open(process) {
            Ok(target) => target,
            Err(why) => {
                self.verdicts.refuse(None, &why);
                return None;
            }
        };
        match self.readiness(&target, &mut waiting) {
            Ok(true) => {}
            Ok(false) => return Some(waiting),
            Err(why) => {
                self.verdicts.refuse(Some(target.program()), &why);
                return None;
            }
        }
        let start = Instant::now();
        match self.attach(&target) {
            Ok(()) => {
                self.verdicts.given.inc();
                tracing::info!(pid = process.pid, took = ?start.elapsed(), "agent loaded");
                (self.loaded)(process);
            }
            // It will have its socket then.
            Err(Refusal::Busy) if !self.is_late(&waiting) => return Some(waiting),
            Err(why) => self.verdicts.refuse(Some(target.program()), &why),
        }
        None
    }

    /// Whether the JVM is up and may be asked.
    fn readiness(&self, target: &Target, waiting: &mut Waiting) -> Result<bool, Refusal> {
        if let Some(word) = target.forbidding() {
            return Err(Refusal::Forbidden(word));
        }
        if target.socket().is_none() && !target.answers_quit() {
            waiting.up = None;
            return if self.is_late(waiting) { Err(Refusal::Deaf) } else { Ok(false) };
        }
        Ok(waiting.up.get_or_insert_with(Instant::now).elapsed() >= SETTLED)
    }

    fn is_late(&self, waiting: &Waiting) -> bool {
        waiting.since.elapsed() > self.limit * PATIENCE
    }

    fn attach(&self, target: &Target) -> Result<(), Refusal> {
        if !can_see_nameless() {
            return Err(Refusal::Unseen);
        }
        let time = Time {
            end: Instant::now() + self.limit,
            limit: self.limit,
            ending: &self.ending,
            process: target.end(),
        };
        let status = target.status();
        let done = wearing(status.user, status.group, || attach(target, self.agent, &time));
        done.map_err(|error| Refusal::User(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?
    }
}

/// As the JVM's user: has it load `agent`.
fn attach(target: &Target, agent: &[u8], time: &Time<'_>) -> Result<(), Refusal> {
    let placed = Placed::new(target, agent)?;
    let socket = match target.socket() {
        Some(socket) => socket,
        None => wake(target, time)?,
    };
    talk::load(&socket, target.pid(), &placed.path, time)
}

/// Has the JVM open its socket.
fn wake(target: &Target, time: &Time<'_>) -> Result<OwnedFd, Refusal> {
    let _trigger = Trigger::new(target)?;
    time.left()?;
    if !target.answers_quit() {
        return Err(Refusal::Deaf);
    }
    target.quit().map_err(Refusal::Signal)?;
    let begin = Instant::now();
    loop {
        if let Some(socket) = target.socket() {
            return Ok(socket);
        }
        match time.pause() {
            // Without the file it would list its threads.
            Err(Refusal::Ending | Refusal::Silent(_)) if begin.elapsed() < GRACE => {
                thread::sleep(POLL);
            }
            paused => paused?,
        }
    }
}
