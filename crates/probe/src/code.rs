// SPDX-License-Identifier: Apache-2.0
//! The seam for units that are attached to programs' own code, in executables and shared libraries.
//!
//! A [`Plan`] is data, made once per file: at which offsets which programs are to stand, and what they must know
//! of this file. It is made without the kernel, so it can be compared with a golden. [`crate::files`] keeps plans
//! and attaches them as long as an observed process has the file mapped.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use vor_exe::go::{GoError, Program};
use vor_exe::{Executable, FileKey};

/// What a unit wants of programs' code.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// Whether a file of this part and path may concern the unit: asked often, without opening the file.
    pub wants: fn(Part, &Path) -> bool,
    /// Where the unit's programs are to stand in a file. `None`: nowhere, the file is of another kind.
    pub plan: fn(&Binary<'_>) -> Result<Option<Plan>, PlanError>,
    /// All programs that plans name.
    pub programs: fn() -> Vec<&'static str>,
    /// The map that has [`Plan::facts`] under the file's number. `None`: the unit needs none.
    pub facts: Option<&'static str>,
}

/// What a file is to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its program.
    Executable,
    /// A library that it has mapped.
    Library,
}

/// A file with code, open.
#[derive(Debug, Clone, Copy)]
pub struct Binary<'a> {
    /// What it is to the process.
    pub part: Part,
    /// Its name, as the process sees it.
    pub path: &'a Path,
    /// Itself.
    pub file: &'a File,
    /// Its identity.
    pub key: FileKey,
    /// What its headers tell.
    pub exe: &'a Executable,
    /// Where fields are in Go libraries.
    pub go_offsets: &'a str,
    /// What it tells as a Go program, once it was asked.
    pub(crate) go: &'a OnceCell<Result<Program, GoError>>,
}

impl Binary<'_> {
    /// A name of the open file that leads to exactly this file, whatever becomes of its path.
    #[must_use]
    pub fn itself(&self) -> PathBuf {
        itself(self.file)
    }

    /// What it tells as a Go program; `read` is called at most once per file.
    pub fn go(
        &self,
        read: impl FnOnce(&Path, &str) -> Result<Program, GoError>,
    ) -> Result<&Program, &GoError> {
        self.go.get_or_init(|| read(&self.itself(), self.go_offsets)).as_ref()
    }
}

/// A name of an open file, as long as it is open.
pub(crate) fn itself(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Where a unit's programs are to stand in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The places.
    pub places: Vec<Place>,
    /// What the programs must know of the file: a struct of the unit's `wire.h`.
    pub facts: Vec<u8>,
    /// What the unit will not see of the file, for people.
    pub without: Vec<String>,
}

/// One program at one place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The program's name in the unit's object.
    pub program: &'static str,
    /// Offset in the file of the instruction.
    pub offset: u64,
    /// Whether it runs when the function that begins there returns. Never for Go, whose stacks move.
    pub at_return: bool,
    /// What the program finds in the upper half of its cookie; the lower half is the file's number.
    pub tag: u32,
}

impl Place {
    /// `program` at the instruction at `offset`.
    #[must_use]
    pub const fn at(program: &'static str, offset: u64) -> Self {
        Self { program, offset, at_return: false, tag: 0 }
    }

    /// `program` when the function at `offset` returns. Not for Go.
    #[must_use]
    pub const fn at_return(program: &'static str, offset: u64) -> Self {
        Self { program, offset, at_return: true, tag: 0 }
    }

    /// The same with a tag.
    #[must_use]
    pub const fn tagged(self, tag: u32) -> Self {
        Self { tag, ..self }
    }

    /// What the program gets from `bpf_get_attach_cookie` in file number `file`.
    #[must_use]
    pub fn cookie(&self, file: u32) -> u64 {
        u64::from(self.tag) << 32 | u64::from(file)
    }
}

/// Why there is no plan for a file that the unit is made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_names_the_file_and_carries_the_tag() {
        let place = Place::at("x", 16).tagged(3);
        assert_eq!(place.cookie(7), 0x3_0000_0007);
        assert!(!place.at_return && Place::at_return("x", 16).at_return);
    }
}
