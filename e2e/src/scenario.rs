// SPDX-License-Identifier: Apache-2.0
//! A scenario as a value: its name, what it needs, what it does, what must come of it.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use crate::apps::find;
use crate::scene::{Scene, World};

/// The way into the kernel that vor is told to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Door {
    /// Functions of the kernel, by trampolines.
    Fentry,
    /// Functions of the kernel, by breakpoints.
    Kprobe,
    /// System calls.
    Syscall,
}

impl Door {
    /// As vor's setting names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Syscall => "syscall",
        }
    }
}

/// What must have come out when a scenario is over.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Server spans.
    pub server: usize,
    /// Client spans.
    pub client: usize,
    /// Losses that belong to the scenario, as `stage/reason`.
    pub losses: Vec<&'static str>,
    /// Stages that may keep what came in, because nobody takes it from them.
    pub holding: Vec<&'static str>,
}

impl Expected {
    /// So many server spans, nothing else, no losses.
    #[must_use]
    pub fn server(server: usize) -> Self {
        Self { server, ..Self::default() }
    }

    /// So many client spans, nothing else, no losses.
    #[must_use]
    pub fn client(client: usize) -> Self {
        Self { client, ..Self::default() }
    }

    /// So many of both, no losses.
    #[must_use]
    pub fn both(server: usize, client: usize) -> Self {
        Self { server, client, ..Self::default() }
    }

    /// These losses may be counted.
    #[must_use]
    pub fn losing(mut self, losses: &[&'static str]) -> Self {
        self.losses.extend(losses);
        self
    }

    /// These stages may keep what came in.
    #[must_use]
    pub fn holding(mut self, stages: &[&'static str]) -> Self {
        self.holding.extend(stages);
        self
    }
}

type Act = Box<dyn Fn(&mut Scene<'_>) -> Result<Expected>>;

/// One thing that is tried.
pub struct Scenario {
    /// Its name.
    pub name: String,
    smoke: bool,
    needs: &'static [&'static str],
    tcp_level: bool,
    act: Act,
}

impl Scenario {
    /// A scenario that does `act`.
    pub fn new(
        name: impl Into<String>,
        act: impl Fn(&mut Scene<'_>) -> Result<Expected> + 'static,
    ) -> Self {
        Self { name: name.into(), smoke: false, needs: &[], tcp_level: false, act: Box::new(act) }
    }

    /// Is run in emulated machines too.
    #[must_use]
    pub fn smoke(mut self) -> Self {
        self.smoke = true;
        self
    }

    /// Cannot run without these programs: found on the path, or built.
    #[must_use]
    pub fn needs(mut self, programs: &'static [&'static str]) -> Self {
        self.needs = programs;
        self
    }

    /// Moves bytes without a system call that carries them.
    #[must_use]
    pub fn tcp_level(mut self) -> Self {
        self.tcp_level = true;
        self
    }

    /// Whether it is part of the smoke suite.
    #[must_use]
    pub fn is_smoke(&self) -> bool {
        self.smoke
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, world: &World) -> Outcome {
        if self.tcp_level && world.door == Some(Door::Syscall) {
            return Outcome::Invisible("not visible through syscall".to_owned());
        }
        if !rustix::process::geteuid().is_root() {
            return Outcome::Skipped("needs root".to_owned());
        }
        let missing = |name: &&&str| find(name).is_none() && !world.apps.has(name);
        if let Some(name) = self.needs.iter().find(missing) {
            return Outcome::Skipped(format!("{name} is not installed"));
        }
        let start = Instant::now();
        match self.attempt(world) {
            Ok(()) => Outcome::Passed(start.elapsed()),
            Err(error) => match error.downcast::<Skip>() {
                Ok(skip) => Outcome::Skipped(skip.0),
                Err(error) => Outcome::Failed(error),
            },
        }
    }

    fn attempt(&self, world: &World) -> Result<()> {
        let mut scene = Scene::new(world)?;
        let result = (self.act)(&mut scene).and_then(|expected| scene.close(&expected));
        result.map_err(|error| match error.downcast::<Skip>() {
            Ok(skip) => skip.into(),
            Err(error) => error.context(scene.story()),
        })
    }
}

/// How a scenario ended.
pub enum Outcome {
    /// As expected, in this time.
    Passed(Duration),
    /// Otherwise. The outermost context tells what vor said and what arrived, the rest why.
    Failed(Error),
    /// Something that it needs is missing here.
    Skipped(String),
    /// The door cannot see what it does, by design.
    Invisible(String),
}

/// Why a scenario cannot run here: as an error it ends the scenario without a failure.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}
