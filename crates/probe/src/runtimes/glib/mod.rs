// SPDX-License-Identifier: Apache-2.0
//! `GLib`: which thread hands work to which by a `GQueue`, which is below `GAsyncQueue`, `GThreadPool` and
//! `GTask`.
//!
//! In: what is put into queues and taken from them, seen in the library's own code. Out: nothing of its own; it writes
//! down who serves which request, and the units that see requests read it.

use std::path::Path;

use vor_exe::Native;

use crate::code::{Binary, Code, Part, Place, Plan, PlanError};
use crate::tracers::{Object, Unit, items_sizes, object};

/// What is loaded and how it is attached.
pub const UNIT: Unit = Unit {
    name: "glib",
    objects: &[Object { door: None, file: object!("glib"), hooks: &[] }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes: items_sizes,
    sweep: None,
    judge: None,
    code: Some(Code {
        wants,
        plan,
        programs: || FUNCTIONS.map(|(program, _)| program).to_vec(),
        facts: None,
    }),
};

const FUNCTIONS: [(&str, &str); 5] = [
    ("glib_push", "g_queue_push_head"),
    ("glib_push", "g_queue_push_tail"),
    ("glib_push", "g_queue_insert_sorted"),
    ("glib_pop_head", "g_queue_pop_head"),
    ("glib_pop_tail", "g_queue_pop_tail"),
];

fn wants(part: Part, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    part == Part::Library && name.is_some_and(|name| name.starts_with("libglib-2.0.so"))
}

fn plan(binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    let said = |error: vor_exe::ExeError| PlanError(error.to_string());
    let native = Native::open(binary.file).map_err(said)?;
    let symbols = native.symbols(FUNCTIONS.map(|(_, function)| function)).map_err(said)?;
    let mut places = Vec::new();
    for ((program, function), address) in FUNCTIONS.into_iter().zip(symbols) {
        let at = address.and_then(|address| native.code(address));
        let at = at.ok_or_else(|| PlanError(format!("{function} is not to be found")))?;
        places.push(Place::at(program, at));
    }
    Ok(Some(Plan { places, ..Plan::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_library_has_all_places() {
        let path = Path::new("/usr/lib/x86_64-linux-gnu/libglib-2.0.so.0");
        let Ok((file, key)) = vor_exe::open(path) else { return };
        let exe = vor_exe::Executable::read(&file, key).unwrap();
        let go = &std::cell::OnceCell::new();
        let part = Part::Library;
        let plan = plan(&Binary { part, path, file: &file, key, exe: &exe, go, go_offsets: "" });
        assert_eq!(plan.unwrap().unwrap().places.len(), FUNCTIONS.len());
        assert!(wants(part, path) && !wants(Part::Executable, path));
        assert!(!wants(part, Path::new("/usr/lib/libgio-2.0.so.0")));
    }
}
