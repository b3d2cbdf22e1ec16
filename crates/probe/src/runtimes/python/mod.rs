// SPDX-License-Identifier: Apache-2.0
//! Python (`CPython` 3.7 to 3.13): who works for whom among its threads and coroutines.
//!
//! In: what collections and contexts are used for, seen in the interpreter's own code. Out: nothing of its own; it
//! writes down who serves which request, and the units that see requests read it.

mod tables;

use std::path::Path;

use vor_exe::Native;

use crate::code::{Binary, Code, Part, Place, Plan, PlanError};
use crate::tracers::{Object, Unit, items_sizes, object};
use tables::{methods, object_type};

/// What is loaded and how it is attached.
pub const UNIT: Unit = Unit {
    name: "python",
    objects: &[Object { door: None, file: object!("python"), hooks: &[] }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes: items_sizes,
    sweep: None,
    judge: None,
    code: Some(Code { wants, plan, programs: || PROGRAMS.to_vec(), facts: None }),
};

const PROGRAMS: [&str; 10] = [
    "python_append",
    "python_appendl",
    "python_pop",
    "python_popleft",
    "python_put",
    "python_get",
    "python_run",
    "python_ran",
    "python_copied",
    "python_fresh",
];

/// The interpreter, its library, and the module that has `SimpleQueue`; not builds without the lock (`python3.13t`),
/// whose objects lie otherwise.
fn wants(part: Part, path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let stem = name.split(".so").next().unwrap_or(name);
    if stem.ends_with('t') && name.starts_with(['p', 'l']) {
        return false;
    }
    match part {
        Part::Executable => name.starts_with("python"),
        Part::Library => name.starts_with("libpython3.") || name.starts_with("_queue."),
    }
}

/// The places of a file: those of whichever of the three things it contains.
fn plan(binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    let native = Native::read(binary.file).map_err(|error| PlanError(error.to_string()))?;
    let mut places = Vec::new();
    places.extend(deque(&native).unwrap_or_default());
    places.extend(simple_queue(&native).unwrap_or_default());
    places.extend(context(&native)?.unwrap_or_default());
    if places.is_empty() {
        return Ok(None);
    }
    Ok(Some(Plan { places, ..Plan::default() }))
}

fn deque(native: &Native<'_>) -> Option<Vec<Place>> {
    let found = methods(native, "popleft", ["append", "appendleft", "pop", "popleft"])?;
    let programs = ["python_append", "python_appendl", "python_pop", "python_popleft"];
    Some(programs.into_iter().zip(found).map(|(program, at)| Place::at(program, at)).collect())
}

fn simple_queue(native: &Native<'_>) -> Option<Vec<Place>> {
    let [put, put_now, get, get_now] =
        methods(native, "put_nowait", ["put", "put_nowait", "get", "get_nowait"])?;
    Some(vec![
        Place::at("python_put", put),
        Place::at("python_put", put_now),
        Place::at_return("python_get", get),
        Place::at_return("python_get", get_now),
    ])
}

fn context(native: &Native<'_>) -> Result<Option<Vec<Place>>, PlanError> {
    let symbols = native.symbols(["PyContext_Type", "PyContext_CopyCurrent"]);
    let [kind, copy] = symbols.map_err(|error| PlanError(error.to_string()))?;
    let (Some(kind), Some(copy)) = (kind, copy.and_then(|at| native.code(at))) else {
        return Ok(None);
    };
    let object = object_type(native, kind);
    let Some((run, new)) = object.and_then(|object| Some((object.method("run")?, object.new)))
    else {
        return Err(PlanError("Context.run is not where it should be".to_owned()));
    };
    let mut places = vec![
        Place::at("python_run", run),
        Place::at_return("python_ran", run),
        Place::at_return("python_copied", copy),
        Place::at_return("python_fresh", new),
    ];
    // The compiler may have put the function of the C interface into it.
    if let Some([copy]) = methods(native, "copy_context", ["copy_context"]) {
        places.push(Place::at_return("python_copied", copy));
    }
    Ok(Some(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interpreters_and_their_libraries_are_wanted() {
        let wanted = |part, name: &str| wants(part, &Path::new("/usr/lib").join(name));
        assert!(wanted(Part::Executable, "python3.11"));
        assert!(!wanted(Part::Executable, "python3.13t"));
        assert!(!wanted(Part::Executable, "nginx"));
        assert!(wanted(Part::Library, "libpython3.12.so.1.0"));
        assert!(!wanted(Part::Library, "libpython3.13t.so.1.0"));
        assert!(wanted(Part::Library, "_queue.cpython-311-x86_64-linux-gnu.so"));
        assert!(!wanted(Part::Library, "libc.so.6"));
    }

    #[test]
    fn the_installed_interpreter_has_all_places() {
        let Ok((file, key)) = vor_exe::open(Path::new("/usr/bin/python3")) else { return };
        let path = std::fs::canonicalize("/usr/bin/python3").unwrap();
        let exe = vor_exe::Executable::read(&file, key).unwrap();
        let go = &std::cell::OnceCell::new();
        let part = Part::Executable;
        let binary = Binary { part, path: &path, file: &file, key, exe: &exe, go, go_offsets: "" };
        let Some(plan) = plan(&binary).unwrap() else {
            // A small program in front of libpython.
            assert!(exe.facts.needed.iter().any(|name| name.starts_with("libpython3.")));
            return;
        };
        let names: Vec<_> = plan.places.iter().map(|place| place.program).collect();
        for program in ["python_append", "python_popleft", "python_run", "python_copied"] {
            assert!(names.contains(&program), "{program} is missing in {names:?}");
        }
    }
}
