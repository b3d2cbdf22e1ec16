// SPDX-License-Identifier: Apache-2.0
//! What a program's file tells: identity, how it was built, what it needs.
//!
//! In: a path, such as `/proc/PID/exe`. Out: an [`Executable`], a few hundred bytes of facts. The file
//! itself is read in pieces and forgotten, so the size of a program costs time within a budget and no
//! memory. Nothing is mapped: a file that shrinks while it is read is an error, not a signal.
//!
//! Files come from strangers. Whatever a header claims, at most 4 MiB of structures and 96 MiB of
//! text are read of one file (of [`Native`] data, 64 MiB), and no section is read twice under one name.

mod cache;
mod elf;
mod file;
pub mod go;
mod mark;
mod native;
mod search;
mod sections;
mod source;

pub use cache::Executables;
pub use elf::Facts;
pub use file::{ExeError, Executable, FileKey, open};
pub use go::GoBuild;
pub use mark::Mark;
pub use native::{Function, Native};
