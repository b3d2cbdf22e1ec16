// SPDX-License-Identifier: Apache-2.0
//! nginx: for which client's connection a worker reads and writes.
//!
//! In: the functions through which all its bytes go. Out: nothing of its own; it writes down who works, and the units
//! that see requests read it.

use std::path::Path;

use vor_exe::Native;

use crate::code::{Binary, Code, Part, Place, Plan, PlanError};
use crate::tracers::{Object, Unit, object};

/// What is loaded and how it is attached.
pub const UNIT: Unit = Unit {
    name: "nginx",
    objects: &[Object { door: None, file: object!("nginx"), hooks: &[] }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes: |_| Vec::new(),
    sweep: None,
    judge: None,
    code: Some(Code { wants, plan, programs: || vec![PROGRAM], facts: None }),
};

const PROGRAM: &str = "nginx_io";
/// Modules are loaded at run time, so these names are there even when the program is stripped.
const FUNCTIONS: [&str; 5] = [
    "ngx_unix_recv",
    "ngx_readv_chain",
    "ngx_unix_send",
    "ngx_writev_chain",
    "ngx_linux_sendfile_chain",
];

fn wants(part: Part, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    part == Part::Executable && name.is_some_and(|name| name == "nginx" || name == "openresty")
}

fn plan(binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    let said = |error: vor_exe::ExeError| PlanError(error.to_string());
    let native = Native::open(binary.file).map_err(said)?;
    let mut places = Vec::new();
    for (name, address) in FUNCTIONS.iter().zip(native.symbols(FUNCTIONS).map_err(said)?) {
        let at = address.and_then(|address| native.code(address));
        let at = at.ok_or_else(|| PlanError(format!("{name} is not to be found")))?;
        places.push(Place::at(PROGRAM, at));
    }
    Ok(Some(Plan { places, ..Plan::default() }))
}
