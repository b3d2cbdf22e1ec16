// SPDX-License-Identifier: Apache-2.0
//! Java (`HotSpot`, JDK 8 to 25): who works for whom among the threads of executors, queues and completions, and among
//! virtual threads.
//!
//! In: hand-overs in `java.util.concurrent` and virtual threads, which an agent in the JVM makes visible. Out: nothing
//! of its own; it writes down who serves which request, and the units that see requests read it.

pub(crate) mod agent;
pub(crate) mod attach;

use std::path::Path;

use vor_exe::Native;

use crate::code::{Binary, Code, Part, Place, Plan, PlanError};
use crate::tracers::{Object, Unit, items_sizes, object};
use agent::{AGENT_NAME, FUNCTIONS};

/// What is loaded and how it is attached.
pub const UNIT: Unit = Unit {
    name: "java",
    objects: &[Object { door: None, file: object!("java"), hooks: &[] }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes: items_sizes,
    sweep: None,
    judge: None,
    code: Some(Code { wants, plan, programs, facts: None }),
};

/// The library that is the JVM, its function that starts a thread, and what stands there.
pub(crate) const LIBRARY: &str = "libjvm.so";
const START: &str = "JVM_StartThread";
const STARTS: &str = "java_starts";

/// In the order of the functions in which they stand.
const PROGRAMS: [&str; FUNCTIONS.len()] = [
    "java_put",
    "java_take",
    "java_enter",
    "java_leave",
    "java_create",
    "java_resume",
    "java_pause",
    "java_end",
];

fn programs() -> Vec<&'static str> {
    PROGRAMS.into_iter().chain([STARTS]).collect()
}

fn is_machine(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == LIBRARY)
}

/// The JVM, and the agent's file, also after its name is gone.
fn wants(part: Part, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_agent = name.is_some_and(|name| name.starts_with(AGENT_NAME));
    part == Part::Library && (is_agent || is_machine(path))
}

fn plan(binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    let said = |error: vor_exe::ExeError| PlanError(error.to_string());
    let native = Native::open(binary.file).map_err(said)?;
    let mut places = Vec::new();
    if is_machine(binary.path) {
        let [start] = native.symbols([START]).map_err(said)?;
        places.extend(start.and_then(|at| native.code(at)).map(|at| Place::at(STARTS, at)));
        return Ok((!places.is_empty()).then(|| Plan { places, ..Plan::default() }));
    }
    let found = native.symbols(FUNCTIONS).map_err(said)?;
    for ((name, program), address) in FUNCTIONS.iter().zip(PROGRAMS).zip(found) {
        let at = address.and_then(|address| native.code(address));
        let at = at.ok_or_else(|| PlanError(format!("{name} is not to be found")))?;
        places.push(Place::at(program, at));
    }
    Ok(Some(Plan { places, ..Plan::default() }))
}

#[cfg(test)]
mod tests;
