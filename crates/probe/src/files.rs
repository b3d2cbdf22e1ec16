// SPDX-License-Identifier: Apache-2.0
//! Which files with code observed processes have mapped, and what stands in them.
//!
//! A file is looked at once, whoever runs it: every unit of [`runtimes::units`] may make a plan for it. Its plans are
//! attached while an observed process has it mapped, and kept for the next one. What cannot be attached is said
//! once, counted, and leaves the rest of the file's probes and the other tracers as they are.
//!
//! Counted as stage `files`: `in` files to look at are `out`, looked at, or `lost.unreadable`, `lost.full`; beside
//! that, `refused`: plans that could not be attached. Gauges: `known`, `attached`, `processes`.

mod mapped;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vor_config::Propagation;
use vor_exe::go::OFFSETS;
use vor_exe::{Executable, FileKey};
use vor_health::{Board, Counter, Verdict, count};
use vor_model::ProcessKey;

use crate::ProbeError;
use crate::admit::pidfd;
use crate::code::{Binary, Plan, itself};
use crate::config::ProbeConfig;
use crate::running::AttachedCode;
use crate::runtimes;
use crate::runtimes::java::attach::{Agents, Sighting};
use crate::tracers::Unit;
use crate::units::Units;
use mapped::Mapped;

/// How long after its first look a process is looked at again for libraries; then after twice the time, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The files.
pub(crate) struct Files {
    /// The table of offsets.
    go_offsets: Cow<'static, str>,
    offered: Vec<&'static Unit>,
    /// Has JVMs load the agent, if it is wanted.
    agents: Option<Agents>,
    known: HashMap<FileKey, Known>,
    processes: HashMap<ProcessKey, Process>,
    limit: usize,
    last_number: u32,
    board: Arc<Board>,
    counters: Counters,
}

/// A file that was looked at.
struct Known {
    number: u32,
    path: PathBuf,
    plans: Vec<(&'static Unit, Plan)>,
    attached: Vec<AttachedCode>,
    /// Observed processes that have it mapped.
    users: usize,
}

/// A process whose files are known.
struct Process {
    files: Vec<FileKey>,
    /// Whether its JVM was asked to load the agent.
    asked: bool,
    next_look: Instant,
    pause: Duration,
}

struct Counters {
    taken: Counter,
    given: Counter,
    unreadable: Counter,
    refused: Counter,
    full: Counter,
    known: Counter,
    attached: Counter,
    processes: Counter,
}

impl Files {
    pub(crate) fn new(
        config: &ProbeConfig,
        writes: Propagation,
        board: &Arc<Board>,
        agents: Option<Agents>,
    ) -> Result<Self, ProbeError> {
        let go_offsets = match &config.go_offsets {
            None => Cow::Borrowed(OFFSETS),
            Some(path) => fs::read_to_string(path)
                .map_err(|error| ProbeError::GoOffsets { path: path.clone(), error })?
                .into(),
        };
        let count = |what| board.counter("files", what);
        Ok(Self {
            offered: runtimes::units(writes),
            agents,
            go_offsets,
            known: HashMap::new(),
            processes: HashMap::new(),
            limit: config.max_files,
            last_number: 0,
            board: Arc::clone(board),
            counters: Counters {
                taken: count("in"),
                given: count("out"),
                unreadable: count("lost.unreadable"),
                refused: count("refused"),
                full: count("lost.full"),
                known: count("known"),
                attached: count("attached"),
                processes: count("processes"),
            },
        })
    }

    /// Looks at what a process has mapped, and attaches what stands in files that are new.
    pub(crate) fn observe(&mut self, process: ProcessKey, units: &mut Units) {
        if self.limit == 0 {
            return;
        }
        let seen = Sighting::default();
        let wants = |part, path: &Path| {
            seen.see(path);
            self.offered.iter().any(|unit| unit.code.is_some_and(|code| (code.wants)(part, path)))
        };
        let found = mapped::of(process.pid, wants);
        // Seen after the look: had the pid been reused before, this would be another process.
        if pidfd(process).is_none() {
            return self.retire(process);
        }
        let start = Instant::now();
        let before = self.processes.remove(&process);
        let held = before.as_ref().map(|old| old.files.as_slice()).unwrap_or_default();
        let mut files = Vec::new();
        for mapped in found {
            let key = mapped.key;
            if files.contains(&key) {
                continue;
            }
            if held.contains(&key) || self.acquire(&mapped, units) {
                files.push(key);
            }
        }
        // It runs another program now.
        for key in held.iter().filter(|key| !files.contains(key)) {
            self.release(*key);
        }
        let asked = before.as_ref().is_some_and(|old| old.asked);
        let agents = self.agents.as_ref();
        let asked = agents.is_some_and(|agents| agents.consider(process, &seen, asked));
        let pause = before.map_or(FIRST_PAUSE, |old| (old.pause * 2).min(LONGEST_PAUSE));
        let next_look = Instant::now() + pause;
        tracing::debug!(pid = process.pid, files = files.len(), took = ?start.elapsed(), "code probed");
        self.processes.insert(process, Process { files, asked, next_look, pause });
        self.measure();
    }

    /// The process is observed no longer.
    pub(crate) fn retire(&mut self, process: ProcessKey) {
        let Some(process) = self.processes.remove(&process) else { return };
        for key in process.files {
            self.release(key);
        }
    }

    /// Takes programs out of files that nobody runs any more, and looks for libraries that were loaded meanwhile.
    pub(crate) fn tick(&mut self, units: &mut Units) {
        for known in self.known.values_mut().filter(|known| known.users == 0) {
            if !known.attached.is_empty() {
                known.attached.clear();
                tracing::debug!(file = %known.path.display(), "detached");
            }
        }
        let now = Instant::now();
        let due = self.processes.iter().filter(|(_, process)| process.next_look <= now);
        for process in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.observe(process, units);
        }
        self.measure();
    }

    /// Takes all programs out of all files, and asks no more JVMs.
    pub(crate) fn detach(&mut self) {
        self.agents = None;
        self.known.values_mut().for_each(|known| known.attached.clear());
    }

    /// One more process has this file mapped. False: there is no room for it.
    fn acquire(&mut self, mapped: &Mapped, units: &mut Units) -> bool {
        if !self.known.contains_key(&mapped.key) && !self.look(mapped) {
            return false;
        }
        let Some(known) = self.known.get_mut(&mapped.key) else { return false };
        known.users += 1;
        if known.users > 1 || !known.attached.is_empty() {
            return true;
        }
        known.plans.iter().for_each(|(unit, _)| units.bring(unit));
        let start = Instant::now();
        for (unit, plan) in &known.plans {
            match units.attach_code(unit, &itself(&mapped.file), plan, known.number) {
                Some(Ok(attached)) => known.attached.push(attached),
                Some(Err(error)) => {
                    self.counters.refused.inc();
                    degrade(&self.board, unit, &known.path, &error.to_string());
                }
                // Said when it could not be loaded.
                None => self.counters.refused.inc(),
            }
        }
        if !known.attached.is_empty() {
            let places: usize = known.plans.iter().map(|(_, plan)| plan.places.len()).sum();
            let took = start.elapsed();
            tracing::debug!(file = %known.path.display(), places, ?took, "attached");
        }
        true
    }

    /// Makes the plans for a file that is seen for the first time.
    fn look(&mut self, mapped: &Mapped) -> bool {
        self.counters.taken.inc();
        if self.known.len() >= self.limit && !self.forget_one() {
            self.counters.full.inc();
            return false;
        }
        let start = Instant::now();
        let plans = match Executable::read(&mapped.file, mapped.key) {
            Ok(exe) => {
                self.counters.given.inc();
                self.plans(mapped, &exe)
            }
            Err(error) => {
                tracing::debug!(file = %mapped.path.display(), %error, "not read");
                self.counters.unreadable.inc();
                Vec::new()
            }
        };
        let took = start.elapsed();
        tracing::debug!(file = %mapped.path.display(), units = plans.len(), ?took, "looked at");
        self.last_number += 1;
        let known = Known {
            number: self.last_number,
            path: mapped.path.clone(),
            plans,
            attached: Vec::new(),
            users: 0,
        };
        self.known.insert(mapped.key, known);
        true
    }

    fn plans(&self, mapped: &Mapped, exe: &Executable) -> Vec<(&'static Unit, Plan)> {
        let Mapped { part, path, file, key } = mapped;
        let binary = Binary {
            part: *part,
            path,
            file,
            key: *key,
            exe,
            go: &OnceCell::new(),
            go_offsets: &self.go_offsets,
        };
        let mut plans = Vec::new();
        for unit in &self.offered {
            let Some(code) = unit.code.filter(|code| (code.wants)(*part, path)) else { continue };
            match (code.plan)(&binary) {
                Ok(Some(plan)) => {
                    if !plan.without.is_empty() {
                        degrade(&self.board, unit, path, &plan.without.join("; "));
                    }
                    plans.push((*unit, plan));
                }
                Ok(None) => {}
                Err(error) => degrade(&self.board, unit, path, &error.to_string()),
            }
        }
        plans
    }

    /// Forgets the file that was looked at first of those that nobody runs.
    fn forget_one(&mut self) -> bool {
        let idle = self.known.iter().filter(|(_, known)| known.users == 0);
        let oldest = idle.min_by_key(|(_, known)| known.number).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.known.remove(&key).is_some())
    }

    fn release(&mut self, key: FileKey) {
        if let Some(known) = self.known.get_mut(&key) {
            known.users = known.users.saturating_sub(1);
        }
    }

    fn measure(&self) {
        let attached = self.known.values().filter(|known| !known.attached.is_empty()).count();
        self.counters.known.set(count(self.known.len()));
        self.counters.attached.set(count(attached));
        self.counters.processes.set(count(self.processes.len()));
    }
}

/// A unit cannot do its work in one file.
fn degrade(board: &Board, unit: &Unit, path: &Path, why: &str) {
    let why = format!("{}: {why}", path.display());
    if board.judge(unit.name, Verdict::Degraded(why.clone())) {
        tracing::warn!(unit = unit.name, %why, "programs are observed without it");
    }
}
