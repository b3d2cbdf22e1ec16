// SPDX-License-Identifier: Apache-2.0
//! Units that read what language runtimes and libraries do, by programs in their code. One folder per runtime.
//!
//! They are brought into the kernel when the first file that they have a plan for is run by an observed process.

pub mod glib;
pub mod go;
pub mod java;
pub mod nginx;
pub mod node;
pub mod python;

use vor_config::Propagation;
use vor_model::Captured;

use crate::tracers::{DecodeError, Unit};

/// All of them, in the order in which files are offered to them.
pub const ALL: &[&Unit] = &[
    &go::sched::UNIT,
    &go::tls::UNIT,
    &go::http::UNIT,
    &go::grpc::UNIT,
    &go::db::UNIT,
    &go::kafka::UNIT,
    &go::write::UNIT,
    &java::UNIT,
    &glib::UNIT,
    &nginx::UNIT,
    &node::UNIT,
    &python::UNIT,
];

/// Those that files are offered to when processes may be admitted to write as `wanted`.
pub(crate) fn units(wanted: Propagation) -> Vec<&'static Unit> {
    let writes = |unit: &&&Unit| unit.name == go::write::UNIT.name;
    ALL.iter().filter(|unit| wanted.headers || !writes(unit)).copied().collect()
}

/// Reads nothing: for units that have no ring.
pub(crate) fn silent(record: &[u8]) -> Result<Captured, DecodeError> {
    Err(DecodeError::Short { len: record.len(), expected: "nothing" })
}
