// SPDX-License-Identifier: Apache-2.0
//! Java (`HotSpot`, JDK 8 to 25): who works for whom among the threads of executors, queues and completions.
//!
//! In: hand-overs in `java.util.concurrent`, which an agent in the JVM makes visible. Out: nothing of its own; it
//! writes down who serves which request, and the units that see requests read it.

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
    code: Some(Code { wants, plan, programs: || PROGRAMS.to_vec(), facts: None }),
};

/// In the order of the functions in which they stand.
const PROGRAMS: [&str; FUNCTIONS.len()] = ["java_put", "java_take", "java_enter", "java_leave"];

/// The agent's file, also after its name is gone.
fn wants(part: Part, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    part == Part::Library && name.is_some_and(|name| name.starts_with(AGENT_NAME))
}

fn plan(binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    let said = |error: vor_exe::ExeError| PlanError(error.to_string());
    let native = Native::open(binary.file).map_err(said)?;
    let mut places = Vec::new();
    let found = native.symbols(FUNCTIONS).map_err(said)?;
    for ((name, program), address) in FUNCTIONS.iter().zip(PROGRAMS).zip(found) {
        let at = address.and_then(|address| native.code(address));
        let at = at.ok_or_else(|| PlanError(format!("{name} is not to be found")))?;
        places.push(Place::at(program, at));
    }
    Ok(Some(Plan { places, ..Plan::default() }))
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_agent_needs_no_library_and_has_a_place_for_each_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".vor-java-0.so");
        std::fs::write(&path, agent::AGENT).unwrap();
        let (file, key) = vor_exe::open(&path).unwrap();
        let exe = vor_exe::Executable::read(&file, key).unwrap();
        assert!(exe.facts.needed.is_empty(), "{:?}", exe.facts.needed);
        let go = &OnceCell::new();
        let part = Part::Library;
        let binary = Binary { part, path: &path, file: &file, key, exe: &exe, go, go_offsets: "" };
        let plan = plan(&binary).unwrap().unwrap();
        let offsets: BTreeSet<_> = plan.places.iter().map(|place| place.offset).collect();
        assert_eq!(offsets.len(), PROGRAMS.len());
    }

    #[test]
    fn only_the_agent_is_wanted_under_its_name_and_without() {
        let wanted = |part, name: &str| wants(part, &Path::new("/tmp").join(name));
        assert!(wanted(Part::Library, ".vor-java-0123456789abcdef.so"));
        assert!(wanted(Part::Library, ".vor-java-0123456789abcdef.so (deleted)"));
        assert!(!wanted(Part::Executable, ".vor-java-0123456789abcdef.so"));
        assert!(!wanted(Part::Library, "libjvm.so"));
    }
}
