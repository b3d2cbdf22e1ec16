// SPDX-License-Identifier: Apache-2.0
//! A unit in the kernel: one of its objects, loaded and attached.

use std::path::Path;
use std::sync::Arc;

use libbpf_rs::btf::Btf;
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, ProgramInput};
use vor_health::Board;
use vor_model::ConnId;

use crate::code::Plan;
use crate::config::ProbeConfig;
use crate::counters::Counters;
use crate::hook::{self, Attached, Hooks};
use crate::object::{Loaded, ObjectError, Shared};
use crate::tracers::{Door, Mode, Object, Sweeping, Unit};

/// What it takes to bring units into the kernel.
pub(crate) struct Loader<'a> {
    config: &'a ProbeConfig,
    kernel: &'a Btf<'a>,
    hooks: Hooks<'a>,
    shared: &'a mut Shared,
}

/// An object that could not be brought into the kernel.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) door: Option<Door>,
    pub(crate) why: ObjectError,
}

/// A unit at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) unit: &'static Unit,
    pub(crate) door: Option<Door>,
    attached: Vec<Attached>,
    object: Loaded,
}

/// Programs in the code of one file, until dropped.
#[derive(Debug)]
pub(crate) struct AttachedCode {
    links: Vec<Link>,
    facts: Option<MapHandle>,
    file: u32,
}

impl Drop for AttachedCode {
    fn drop(&mut self) {
        hook::detach(&mut self.links);
        if let Some(facts) = &self.facts {
            // Fails only when it is gone already.
            let _ = facts.delete(&self.file.to_ne_bytes());
        }
    }
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        config: &'a ProbeConfig,
        kernel: &'a Btf<'a>,
        shared: &'a mut Shared,
    ) -> Self {
        Self { config, kernel, hooks: Hooks::new(kernel), shared }
    }

    /// Brings a unit into the kernel by the first of its objects that goes in. Says, too, which did not.
    pub(crate) fn first(&mut self, unit: &'static Unit) -> (Option<Running>, Vec<Refused>) {
        let mut refused = Vec::new();
        for object in unit.objects {
            if object.door.is_some_and(|door| !self.config.door.allows(door)) {
                continue;
            }
            match self.open(unit, object) {
                Ok(running) => return (Some(running), refused),
                Err(why) => refused.push(Refused { door: object.door, why }),
            }
        }
        (None, refused)
    }

    /// Brings one object of a unit into the kernel.
    pub(crate) fn open(
        &mut self,
        unit: &'static Unit,
        object: &Object,
    ) -> Result<Running, ObjectError> {
        hook::ask(object.hooks)?;
        let loaded = Loaded::load(unit, object, self.config, self.kernel, self.shared)?;
        let mut attached = Vec::with_capacity(object.hooks.len());
        for hook in object.hooks {
            attached.extend(self.hooks.attach(&loaded, hook)?);
        }
        Ok(Running { unit, door: object.door, attached, object: loaded })
    }
}

impl Running {
    /// Its map `name`.
    pub(crate) fn map(&self, name: &'static str) -> Result<MapHandle, ObjectError> {
        self.object.map(name)
    }

    /// Its counters.
    pub(crate) fn counters(&self, board: &Arc<Board>) -> Result<Counters, ObjectError> {
        Counters::new(&self.object, self.unit.name, board)
    }

    /// Ends what waits too long; returns how many exchanges are open after that, and how full tables are.
    pub(crate) fn sweep(&self, what: &Sweeping) -> (u32, Vec<u32>) {
        let Some(sweep) = &self.unit.sweep else { return (0, Vec::new()) };
        let mut argument = (sweep.argument)(what);
        self.run(sweep.program, &mut argument);
        ((sweep.open)(&argument), (sweep.rows)(&argument))
    }

    /// Says what becomes of a connection.
    pub(crate) fn judge(&self, conn: ConnId, mode: Mode) {
        let Some(judge) = &self.unit.judge else { return };
        self.run(judge.program, &mut (judge.argument)(conn, mode));
    }

    /// Attaches its programs to the places of a plan, in the file at `path`, which gets number `file`.
    pub(crate) fn attach_code(
        &self,
        path: &Path,
        plan: &Plan,
        file: u32,
    ) -> Result<AttachedCode, ObjectError> {
        let facts = self.unit.code.and_then(|code| code.facts).map(|map| self.map(map));
        let facts = facts.transpose()?;
        if let Some(map) = &facts {
            map.update(&file.to_ne_bytes(), &plan.facts, MapFlags::ANY).map_err(|error| {
                ObjectError::Map {
                    map: map.name().to_string_lossy().into_owned(),
                    error: error.to_string(),
                }
            })?;
        }
        let mut attached = AttachedCode { links: Vec::new(), facts, file };
        attached.links = hook::attach_code(&self.object, path, &plan.places, file)?;
        Ok(attached)
    }

    fn run(&self, program: &'static str, argument: &mut [u8]) {
        let input = ProgramInput { context_in: Some(argument), ..ProgramInput::default() };
        let ran = self.object.program(program).map(|program| program.test_run(input).map(drop));
        match ran {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(program, error = %format!("{error:#}"), "not run"),
            Err(error) => tracing::debug!(program, %error, "not run"),
        }
    }

    /// Takes its programs out of their places. Its maps stay until it is dropped.
    pub(crate) fn detach(&mut self) {
        self.attached.clear();
    }
}
