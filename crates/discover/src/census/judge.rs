// SPDX-License-Identifier: Apache-2.0
//! Whether a process is wanted, and what it is called then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vor_model::{Language, Lookup, Process};

use super::{Census, Chosen, LISTINGS_UNTIL_SETTLED, Row};
use crate::language::{self, Evidence};
use crate::proc::{self, Environment};
use crate::select::Facts;
use crate::service::Label;
use crate::watch::{Event, Target};

impl<F: Fn(Event)> Census<F> {
    pub(super) fn judge(&mut self, row: &mut Row) {
        let before = self.weigh(row);
        // Told even when nothing changed: the kernel side lets go of a process at its exec.
        match (&before, &row.chosen) {
            (None, None) => {}
            (None, Some(chosen)) => self.say(Event::Found(chosen.target.clone())),
            (Some(_), None) => self.say(Event::Gone(row.key)),
            (Some(_), Some(chosen)) => self.say(Event::Renamed(chosen.target.clone())),
        }
    }

    /// Whether news of containers have to be looked for.
    pub(crate) fn knows_containers(&self) -> bool {
        self.containers.is_some()
    }

    /// Judges anew the processes in containers of which more is known than before.
    pub(crate) fn glance(&mut self) {
        let Some(containers) = self.containers.clone() else { return };
        let revision = containers.revision();
        if revision == self.revision {
            return;
        }
        self.revision = revision;
        let news = self.rows.values().filter(|row| {
            let container = row.container.as_ref();
            container.is_some_and(|container| containers.find(container) != row.known)
        });
        for pid in news.map(|row| row.key.pid).collect::<Vec<_>>() {
            let Some(mut row) = self.rows.remove(&pid) else { continue };
            let before = self.weigh(&mut row);
            match (&before, &row.chosen) {
                (None, None) => {}
                (None, Some(chosen)) => self.say(Event::Found(chosen.target.clone())),
                (Some(_), None) => self.say(Event::Gone(row.key)),
                (Some(old), Some(new)) if old.target == new.target => {}
                (Some(_), Some(chosen)) => self.say(Event::Renamed(chosen.target.clone())),
            }
            self.rows.insert(pid, row);
        }
        self.measure();
    }

    /// Chooses the row's process if it is wanted; gives what it was chosen for before.
    fn weigh(&mut self, row: &mut Row) -> Option<Chosen> {
        let before = row.chosen.take();
        let decides = self.criteria.wants_containers();
        if decides {
            self.locate(row);
        }
        if let Some(label) = self.label(row) {
            if !decides {
                self.locate(row);
            }
            row.chosen = self.choose(row, label);
        }
        before
    }

    /// Finds out which container the row's process is in, and what is known of that.
    fn locate(&self, row: &mut Row) {
        row.container = proc::container(row.key.pid);
        row.known = match (&row.container, &self.containers) {
            (Some(container), Some(containers)) => containers.find(container),
            (None, _) | (_, None) => Lookup::Unknown,
        };
    }

    /// What the row's process is called if it is wanted.
    fn label(&self, row: &Row) -> Option<Arc<Label>> {
        if row.descends {
            // Between its fork and its exec the ancestor is a copy of vor.
            let (_, label) = self.criteria.family()?;
            return (Some(&row.exe) != self.own_exe.as_ref()).then(|| Arc::clone(label));
        }
        if let Some(label) = self.criteria.judge(&row.facts()) {
            return Some(Arc::clone(label));
        }
        // A worker of the same program shares what its parent was chosen for.
        let parent = self.rows.get(&row.ppid).filter(|parent| parent.exe == row.exe)?;
        parent.chosen.as_ref().map(|chosen| Arc::clone(&chosen.label))
    }

    /// None when the process has ended meanwhile.
    fn choose(&mut self, row: &Row, label: Arc<Label>) -> Option<Chosen> {
        let env = proc::environment(row.key.pid);
        if env.is_none() && proc::key(row.key.pid) != Some(row.key) {
            return None;
        }
        let env = env.unwrap_or_default();
        let language = self.language(row.key.pid, &row.exe, &env);
        let process =
            Process { key: row.key, ppid: row.ppid, exe: row.exe.to_path_buf(), language };
        let (container, known) =
            (row.container.as_deref(), row.known.workload().map(|known| &**known));
        let (service, named_by) =
            self.criteria.naming.service(&process, &label, &env, container, known);
        let target = Target {
            process: Arc::new(process),
            service: Arc::new(service),
            named_by,
            propagation: label.propagation,
            container: row.container.clone(),
            awaited: row.known == Lookup::Awaited,
        };
        Some(Chosen { target, label, unsettled: LISTINGS_UNTIL_SETTLED })
    }

    fn language(&mut self, pid: u32, exe: &Path, env: &Environment) -> Language {
        let running = PathBuf::from(format!("/proc/{pid}/exe"));
        // Until it begins its program, the ancestor's own file and memory say nothing about it.
        let held = self.ancestor.is_some_and(|ancestor| ancestor.pid == pid)
            && proc::seen(pid).is_ok_and(|seen| *seen.exe != *exe);
        let (file, mapped) =
            if held { (exe, Vec::new()) } else { (running.as_path(), proc::mapped(pid)) };
        let file = self.executables.open(file).ok();
        let facts = file.as_ref().map(|file| &file.facts);
        Evidence { exe, facts, mapped: &mapped, env }.language()
    }

    /// Looks again at the language of a process that may have loaded its runtime since.
    pub(super) fn settle(&mut self, pid: u32) {
        let Some(mut row) = self.rows.remove(&pid) else { return };
        if let Some(chosen) = row.chosen.as_mut().filter(|chosen| chosen.unsettled > 0) {
            chosen.unsettled -= 1;
            let old = &chosen.target;
            if !language::is_settled(old.process.language) {
                let env = proc::environment(pid).unwrap_or_default();
                let language = self.language(pid, &row.exe, &env);
                if language::is_settled(language) {
                    let mut target = old.clone();
                    Arc::make_mut(&mut target.process).language = language;
                    Arc::make_mut(&mut target.service).language = language;
                    chosen.target = target.clone();
                    self.say(Event::Renamed(target));
                }
            }
        }
        self.rows.insert(pid, row);
    }
}

impl Row {
    /// What decides whether it is wanted.
    fn facts(&self) -> Facts<'_> {
        Facts {
            exe: &self.exe,
            ports: &self.ports,
            in_container: self.container.is_some(),
            workload: self.known.workload().map(|known| &**known),
        }
    }
}
