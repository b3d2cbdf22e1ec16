// SPDX-License-Identifier: Apache-2.0
//! All processes that have a program, and which of them are wanted.
//!
//! A process is judged when it is first seen, when it runs another program, and when it begins to listen
//! on a port that matters, and when more is known of its container; that it stops to listen changes nothing. What is missed because an event got
//! lost is found by the next listing.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vor_exe::Executables;
use vor_health::{Board, Counter, Verdict, count};
use vor_model::{Language, Life, LifeEvent, Lookup, Process, ProcessKey, TaskName};

use crate::access;
use crate::container::Containers;
use crate::ports::Listening;
use crate::proc::{self, Seen, Unseen};
use crate::select::Criteria;
use crate::service::Label;
use crate::watch::{Event, Target};

mod judge;

const UNIT: &str = "discover";

/// Programs whose facts are remembered.
const MAX_EXECUTABLES: usize = 256;

/// Listings after which nobody expects a process to load its runtime any more: a minute or more, by default.
const LISTINGS_UNTIL_SETTLED: u8 = 12;

pub(crate) struct Census<F> {
    criteria: Criteria,
    containers: Option<Arc<dyn Containers>>,
    /// What [`Containers::revision`] said when its news were looked at last.
    revision: u64,
    tell: F,
    rows: HashMap<u32, Row>,
    listening: Listening,
    executables: Executables,
    /// Who the ancestor of [`Criteria::descendants_of`] is.
    ancestor: Option<ProcessKey>,
    own_pid: u32,
    own_exe: Option<Arc<Path>>,
    /// Events told since the start.
    told: u64,
    /// Processes whose program could not be seen when all were listed last.
    denied: usize,
    board: Arc<Board>,
    counters: Counters,
}

struct Counters {
    heard: Counter,
    applied: Counter,
    /// The process ended before it could be looked at.
    vanished: Counter,
    listings: Counter,
    processes: Counter,
    targets: Counter,
}

struct Row {
    key: ProcessKey,
    ppid: u32,
    exe: Arc<Path>,
    ports: Vec<u16>,
    /// Whether it descends from the ancestor.
    descends: bool,
    /// The container it is in, and what was known of that.
    container: Option<Arc<str>>,
    known: Lookup,
    chosen: Option<Chosen>,
}

struct Chosen {
    target: Target,
    label: Arc<Label>,
    /// Listings for which its language may still change.
    unsettled: u8,
}

impl<F: Fn(Event)> Census<F> {
    pub(crate) fn new(
        criteria: Criteria,
        containers: Option<Arc<dyn Containers>>,
        board: &Arc<Board>,
        tell: F,
    ) -> Self {
        let ancestor = criteria.family().and_then(|(pid, _)| proc::key(pid));
        Self {
            criteria,
            containers,
            revision: 0,
            tell,
            rows: HashMap::new(),
            listening: Listening::default(),
            executables: Executables::new(MAX_EXECUTABLES),
            ancestor,
            own_pid: std::process::id(),
            own_exe: proc::seen(std::process::id()).ok().map(|own| own.exe),
            told: 0,
            denied: 0,
            board: Arc::clone(board),
            counters: Counters {
                heard: board.counter(UNIT, "in"),
                applied: board.counter(UNIT, "out"),
                vanished: board.counter(UNIT, "lost.vanished"),
                listings: board.counter(UNIT, "listings"),
                processes: board.counter(UNIT, "processes"),
                targets: board.counter(UNIT, "targets"),
            },
        }
    }

    /// Whether the kernel side has told of any process since the start.
    pub(crate) fn hears(&self) -> bool {
        self.counters.heard.get() > 0
    }

    /// Compares with all processes that exist now. True when that told of something, which no life event had
    /// done before.
    pub(crate) fn list(&mut self) -> bool {
        let told = self.told;
        let pids = match proc::pids() {
            Ok(pids) => pids,
            Err(error) => {
                self.report(Verdict::Failed(format!("cannot list /proc: {error}")));
                return false;
            }
        };
        self.listening.begin();
        let mut seen = Vec::with_capacity(pids.len());
        let mut denied = 0_usize;
        for pid in pids.into_iter().filter(|pid| *pid != self.own_pid) {
            match proc::seen(pid) {
                Ok(process) => seen.push(process),
                Err(Unseen::Absent) => {}
                Err(Unseen::Forbidden) => denied += 1,
            }
        }
        let alive: HashSet<ProcessKey> = seen.iter().map(|process| process.key).collect();
        let ended = self.rows.values().map(|row| row.key).filter(|key| !alive.contains(key));
        for key in ended.collect::<Vec<_>>() {
            self.end(key);
        }
        // Parents first, so that what holds for them is known when their children are judged.
        seen.sort_unstable_by_key(|process| (process.key.started, process.key.pid));
        for process in seen {
            self.compare(process);
        }
        self.listening.end();
        if denied != self.denied {
            self.denied = denied;
            tracing::debug!(
                unit = UNIT,
                processes = denied,
                "processes deny a look at their program"
            );
        }
        // Descendants of a process are known without.
        let concerns = if self.criteria.family().is_some() { 0 } else { denied };
        self.report(access::verdict(concerns));
        self.counters.listings.inc();
        self.measure();
        self.told > told
    }

    /// Takes in what the kernel side tells, in its order.
    pub(crate) fn hear(&mut self, events: impl Iterator<Item = Life>) {
        self.listening.begin();
        for Life { process, event } in events {
            self.counters.heard.inc();
            if process.pid == self.own_pid {
                self.counters.applied.inc();
                continue;
            }
            let vanished = match event {
                LifeEvent::Fork { parent } => {
                    self.fork(process, parent);
                    false
                }
                LifeEvent::Exec { program } => match proc::seen(process.pid) {
                    Ok(seen) if seen.key == process => {
                        self.admit(seen);
                        false
                    }
                    Ok(_) | Err(_) => !self.remember(process, program),
                },
                LifeEvent::Exit => {
                    self.end(process);
                    false
                }
                LifeEvent::Listen { port } => self.listen(process.pid, port).is_err(),
            };
            if vanished { &self.counters.vanished } else { &self.counters.applied }.inc();
        }
        self.measure();
    }

    /// A child shares everything with its parent until it runs a program of its own, so nothing needs to be
    /// looked up: this is the path that thousands of short-lived processes take.
    fn fork(&mut self, key: ProcessKey, parent: u32) {
        let Some(row) = self.rows.get(&parent) else { return };
        if row.chosen.is_none() && !row.descends {
            return;
        }
        let known = self.rows.get(&key.pid).map(|row| row.key);
        if known == Some(key) {
            // A listing was faster; it may have come too late to see the parent.
            if row.descends {
                self.adopt(key.pid);
            }
            return;
        }
        let chosen = row.chosen.as_ref().map(|chosen| {
            let old = &chosen.target;
            let process = Process { key, ppid: parent, ..Process::clone(&old.process) };
            let naming = &self.criteria.naming;
            let service = Arc::new(naming.forked(&old.service, parent, key.pid));
            // A descendant may be about to run another program, and is observed meanwhile.
            let awaited = row.descends || old.awaited;
            let target = Target { process: Arc::new(process), service, awaited, ..old.clone() };
            Chosen { target, label: Arc::clone(&chosen.label), unsettled: chosen.unsettled }
        });
        let child = Row {
            key,
            ppid: parent,
            exe: Arc::clone(&row.exe),
            ports: row.ports.clone(),
            descends: row.descends,
            container: row.container.clone(),
            known: row.known.clone(),
            chosen,
        };
        if let Some(other) = known {
            self.end(other);
        }
        if let Some(chosen) = &child.chosen {
            self.say(Event::Found(chosen.target.clone()));
        }
        self.rows.insert(key.pid, child);
    }

    /// A descendant of the ancestor ran a program and has ended before anybody could look: what it said is on its
    /// way, and all that is known of the program is its name. Whether it is a descendant.
    fn remember(&mut self, key: ProcessKey, program: TaskName) -> bool {
        let row = self.rows.get_mut(&key.pid).filter(|row| row.key == key && row.descends);
        let Some(row) = row else { return false };
        let Some(chosen) = &mut row.chosen else { return false };
        let exe = PathBuf::from(OsStr::from_bytes(program.as_bytes()));
        let target = &mut chosen.target;
        target.awaited = false;
        if target.service.auto_name {
            Arc::make_mut(&mut target.service).name = exe.to_string_lossy().into();
        }
        let language = Language::default();
        Arc::make_mut(&mut target.service).language = language;
        let process = Process { exe, language, ..Process::clone(&target.process) };
        target.process = Arc::new(process);
        row.exe = Arc::from(target.process.exe.as_path());
        let target = target.clone();
        self.say(Event::Renamed(target));
        true
    }

    /// A process that is known already descends from the ancestor.
    fn adopt(&mut self, pid: u32) {
        let Some(mut row) = self.rows.remove(&pid) else { return };
        if !row.descends {
            row.descends = true;
            self.judge(&mut row);
        }
        self.rows.insert(pid, row);
    }

    /// The process is no more.
    fn end(&mut self, key: ProcessKey) {
        let Some(row) = self.rows.remove(&key.pid) else { return };
        if row.key != key {
            // The pid belongs to another one already.
            self.rows.insert(key.pid, row);
        } else if row.chosen.is_some() {
            self.say(Event::Gone(key));
        }
    }

    fn listen(&mut self, pid: u32, port: u16) -> Result<(), Unseen> {
        if self.criteria.wants_port(port) {
            self.compare(proc::seen(pid)?);
            self.opened(pid, &[port]);
        }
        Ok(())
    }

    /// Judges a process unless it is as it was.
    fn compare(&mut self, seen: Seen) {
        let pid = seen.key.pid;
        let row = self.rows.get(&pid);
        if !row.is_some_and(|row| row.key == seen.key && row.exe == seen.exe) {
            return self.admit(seen);
        }
        self.settle(pid);
        if self.criteria.wants_ports() {
            let ports = self.listening.new_of(pid, &self.criteria);
            self.opened(pid, &ports);
        }
    }

    /// A process is new, or runs a program that has not been judged.
    fn admit(&mut self, seen: Seen) {
        let Seen { key, ppid, exe } = seen;
        let exe = self.about_to_run(key, &exe).unwrap_or(exe);
        if let Some(other) = self.rows.get(&key.pid).map(|row| row.key).filter(|old| *old != key) {
            self.end(other);
        }
        let old = self.rows.remove(&key.pid);
        let descends = self.ancestor == Some(key)
            || old.as_ref().is_some_and(|row| row.descends)
            || self.rows.get(&ppid).is_some_and(|parent| parent.descends);
        let ports = if self.criteria.wants_ports() {
            self.listening.of(key.pid, &self.criteria)
        } else {
            Vec::new()
        };
        let chosen = old.and_then(|row| row.chosen);
        let (container, known) = (None, Lookup::Unknown);
        let mut row = Row { key, ppid, exe, ports, descends, container, known, chosen };
        self.judge(&mut row);
        self.rows.insert(key.pid, row);
    }

    /// What a process will run that is a copy of this program still.
    fn about_to_run(&self, key: ProcessKey, exe: &Arc<Path>) -> Option<Arc<Path>> {
        let held = self.ancestor == Some(key) && Some(exe) == self.own_exe.as_ref();
        if held { self.criteria.program().cloned() } else { None }
    }

    /// A process listens on further ports.
    fn opened(&mut self, pid: u32, ports: &[u16]) {
        let Some(mut row) = self.rows.remove(&pid) else { return };
        let before = row.ports.len();
        row.ports.extend_from_slice(ports);
        row.ports.sort_unstable();
        row.ports.dedup();
        if row.ports.len() > before {
            self.judge(&mut row);
        }
        self.rows.insert(pid, row);
    }

    fn say(&mut self, event: Event) {
        self.told += 1;
        (self.tell)(event);
    }

    fn report(&self, verdict: Verdict) {
        if !self.board.judge(UNIT, verdict.clone()) {
            return;
        }
        match verdict {
            Verdict::Active => {}
            Verdict::Degraded(why) | Verdict::Unsupported(why) | Verdict::Failed(why) => {
                tracing::warn!(unit = UNIT, why, "not all processes are watched");
            }
        }
    }

    fn measure(&self) {
        self.counters.processes.set(count(self.rows.len()));
        let targets = self.rows.values().filter(|row| row.chosen.is_some()).count();
        self.counters.targets.set(count(targets));
    }
}
