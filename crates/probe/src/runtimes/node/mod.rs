// SPDX-License-Identifier: Apache-2.0
//! Node.js (18 to 26): for which request its thread works, in callbacks and in continuations of promises.
//!
//! In: what resources and promises are made and continued, seen in the code of Node.js and V8. Out: nothing of its own;
//! it writes down who works for what, and the units that see requests read it.

use std::path::Path;

use vor_exe::Native;

use crate::code::{Binary, Code, Part, Place, Plan, PlanError};
use crate::config::ProbeConfig;
use crate::tracers::{Object, Unit, async_sizes, lineage_sizes, object};

/// What is loaded and how it is attached.
pub const UNIT: Unit = Unit {
    name: "node",
    objects: &[Object { door: None, file: object!("node"), hooks: &[] }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes,
    sweep: None,
    judge: None,
    code: Some(Code { wants, plan, programs: || PROGRAMS.to_vec(), facts: None }),
};

const PROGRAMS: [&str; 8] = [
    "node_reset",
    "node_read",
    "node_parse",
    "node_then",
    "node_thened",
    "node_job",
    "node_idle",
    "node_moved",
];

fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let own = vec![("node_promises", config.max_items.max(1))];
    [own, async_sizes(config), lineage_sizes(config)].concat()
}

/// The program, or the library that it is where distributions build it so.
fn wants(part: Part, path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    match part {
        Part::Executable => name == "node" || name == "nodejs",
        Part::Library => name.starts_with("libnode.so"),
    }
}

/// A function: its name for people, and how its symbol is recognised.
type Wanted = (&'static str, fn(&[u8]) -> bool);

/// Those that are watched. V8's own code is not exported, and symbols of C++ differ among versions in their arguments.
const FUNCTIONS: [Wanted; 10] = [
    ("AsyncWrap::AsyncReset", |name| {
        name.starts_with(b"_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEd")
    }),
    ("LibuvStreamWrap::OnUvRead", |name| name.starts_with(b"_ZN4node15LibuvStreamWrap8OnUvReadE")),
    ("Parser::OnStreamRead", |name| parser_offset(name).is_some()),
    ("PerformPromiseThen", |name| name == b"Builtins_PerformPromiseThen"),
    ("Promise.prototype.then", |name| name == b"Builtins_PromisePrototypeThen"),
    ("PromiseFulfillReactionJob", |name| name == b"Builtins_PromiseFulfillReactionJob"),
    ("PromiseRejectReactionJob", |name| name == b"Builtins_PromiseRejectReactionJob"),
    ("PromiseResolveThenableJob", |name| name == b"Builtins_PromiseResolveThenableJob"),
    ("RunMicrotasks", |name| name == b"Builtins_RunMicrotasks"),
    ("Heap::GarbageCollectionEpilogueInSafepoint", |name| {
        name.starts_with(b"_ZN2v88internal4Heap36GarbageCollectionEpilogueInSafepointE")
    }),
];

/// How far into the HTTP parser the part is that is given what a stream reads: the name of its entry says so.
fn parser_offset(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok()?.strip_prefix("_ZThn")?;
    let (offset, rest) = name.split_once('_')?;
    let is_parser = rest.starts_with("N4node") && rest.contains("6Parser12OnStreamReadE");
    if is_parser { offset.parse().ok() } else { None }
}

fn plan(binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    let said = |error: vor_exe::ExeError| PlanError(error.to_string());
    let native = Native::open(binary.file).map_err(said)?;
    let found = native.functions(FUNCTIONS.map(|(_, is)| is)).map_err(said)?;
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let missing = FUNCTIONS.iter().zip(&found).filter(|(_, function)| function.is_none());
    let missing: Vec<_> = missing.map(|((name, _), _)| *name).collect();
    let [
        Some(reset),
        Some(read),
        Some(parse),
        Some(then),
        Some(thened),
        Some(fulfill),
        Some(reject),
        Some(thenable),
        Some(run),
        Some(moved),
    ] = found
    else {
        return Err(PlanError(format!("no symbols of {}", missing.join(", "))));
    };
    let mut places = vec![
        Place::at("node_reset", reset.offset),
        Place::at("node_read", read.offset),
        Place::at("node_parse", parse.offset)
            .tagged(parser_offset(&parse.name).unwrap_or_default()),
        Place::at("node_then", then.offset),
        Place::at("node_job", fulfill.offset),
        Place::at("node_job", reject.offset),
        Place::at("node_idle", thenable.offset),
        Place::at("node_moved", moved.offset),
    ];
    let returning = [("node_idle", &read), ("node_thened", &thened), ("node_idle", &run)];
    for (program, function) in returning {
        let returns = native.returns(function).map_err(said)?;
        if returns.is_empty() {
            return Err(PlanError(format!(
                "no return of {} is to be found",
                String::from_utf8_lossy(&function.name)
            )));
        }
        places.extend(returns.into_iter().map(|at| Place::at(program, at)));
    }
    Ok(Some(Plan { places, ..Plan::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_node_js_and_its_library_are_wanted() {
        let wanted = |part, name: &str| wants(part, &Path::new("/usr/lib").join(name));
        assert!(wanted(Part::Executable, "node"));
        assert!(wanted(Part::Executable, "nodejs"));
        assert!(!wanted(Part::Executable, "node_exporter"));
        assert!(wanted(Part::Library, "libnode.so.108"));
        assert!(!wanted(Part::Library, "libuv.so.1"));
    }

    fn plan_of(path: &Path) -> Result<Option<Plan>, PlanError> {
        let (file, key) = vor_exe::open(path).unwrap();
        let exe = vor_exe::Executable::read(&file, key).unwrap();
        let go = &std::cell::OnceCell::new();
        let part = Part::Executable;
        plan(&Binary { part, path, file: &file, key, exe: &exe, go, go_offsets: "" })
    }

    #[test]
    fn a_program_that_is_called_so_by_chance_is_no_fault() {
        assert_eq!(plan_of(&std::env::current_exe().unwrap()), Ok(None));
    }

    #[test]
    fn the_installed_program_has_all_places_or_says_which_it_lacks() {
        let Ok(path) = std::fs::canonicalize("/usr/bin/node") else { return };
        match plan_of(&path) {
            Ok(Some(plan)) => {
                let has = |name| plan.places.iter().any(|place| place.program == name);
                assert!(PROGRAMS.iter().all(|name| has(*name)), "{plan:?}");
            }
            Ok(None) => {
                // A small program in front of libnode.
                let (file, key) = vor_exe::open(&path).unwrap();
                let exe = vor_exe::Executable::read(&file, key).unwrap();
                assert!(exe.facts.needed.iter().any(|name| name.starts_with("libnode")));
            }
            Err(PlanError(why)) => assert!(why.starts_with("no symbols of "), "{why}"),
        }
    }
}
