// SPDX-License-Identifier: Apache-2.0
//! What probes need to know of a Go program: with what it was built, where its functions begin and return,
//! where fields are in its structs.
//!
//! In: a path and what is [wanted](Wanted). Out: a [`Program`] with the answers and nothing else. It costs
//! one reading of the table of functions, some 10 ms per 100 MB of program, and a few MiB while it lasts.
//! Works for stripped, static and position-independent programs, with and without C code.

pub(crate) mod block;
mod build;
pub(crate) mod code;
mod dwarf;
mod fields;
mod image;
mod pclntab;
mod table;
mod text;
mod version;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

pub use block::GoBuild;
pub use build::{Build, Module};
pub use code::Site;
pub use image::Machine;
pub use table::OFFSETS;
pub use version::Version;

use crate::file::{self, ExeError, FileKey};
use fields::Offsets;
use image::Image;
use pclntab::Table;

/// The largest function whose code is read.
const MAX_CODE: u64 = 1 << 20;

/// What is asked of a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// Functions by their full names, such as `net/http.(*conn).serve`.
    pub functions: &'w [&'w str],
    /// Fields of structs.
    pub fields: &'w [Field<'w>],
}

/// A field of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field<'w> {
    /// The struct with the path of its package, such as `net/http.Request`.
    pub of: &'w str,
    /// The field's name; of an embedded struct, the name of its type.
    pub name: &'w str,
}

/// What a program answered.
#[derive(Debug, Clone)]
pub struct Program {
    /// Which file.
    pub key: FileKey,
    /// For which machine.
    pub machine: Machine,
    /// With what it was built.
    pub build: Build,
    functions: HashMap<String, Function>,
    offsets: Offsets,
}

/// A function that is linked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its code, as offsets in the file.
    pub code: Range<u64>,
    /// A place that every call passes, where arguments and stack pointer are as at the first instruction.
    pub entry: Site,
    /// All returns. What leaves by a panic passes none of them.
    pub returns: Vec<Site>,
    /// All calls of places that their instructions name, in the order of the code.
    pub calls: Vec<Call>,
}

/// A call that a function makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The instruction: what is called has its arguments there.
    pub site: Site,
    /// What is called, as an offset in the file.
    pub to: u64,
}

/// How far a struct's beginning a field is, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// The program or the very version of its module says so.
    Known(u32),
    /// The nearest known version has it there: to be proven before it is believed.
    Assumed(u32),
}

impl Offset {
    /// The number, sure or not.
    #[must_use]
    pub fn bytes(self) -> u32 {
        match self {
            Self::Known(bytes) | Self::Assumed(bytes) => bytes,
        }
    }
}

/// Why a Go program cannot be probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoError {
    /// The file tells nothing at all.
    #[error(transparent)]
    Exe(#[from] ExeError),
    /// It is for another machine (`e_machine`).
    #[error("Go code of machine {0} is not understood")]
    Machine(u16),
    /// It is no Go program, or one of an unknown version.
    #[error("no table of Go functions in a known form (Go 1.16 and later)")]
    NoFunctions,
    /// The functions of the table are not where code is.
    #[error("the beginning of Go code was not found")]
    NoText,
}

impl Program {
    /// Reads what is wanted of the file at `path`.
    pub fn open(path: &Path, wanted: &Wanted<'_>) -> Result<Self, GoError> {
        Self::open_by(path, wanted, OFFSETS)
    }

    /// The same with another table of offsets than the [embedded](OFFSETS) one.
    pub fn open_by(path: &Path, wanted: &Wanted<'_>, table: &str) -> Result<Self, GoError> {
        let (file, key) = file::open(path)?;
        let image = Image::read(&file)?;
        let functions = Table::find(&image)?;
        let build = build::read(&image)?;
        let functions = find(&image, &functions, wanted.functions)?;
        let offsets = fields::offsets(&image, &build, wanted.fields, table)?;
        Ok(Self { key, machine: image.machine, build, functions, offsets })
    }

    /// A wanted function, if it is linked in.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// Where a wanted field is.
    #[must_use]
    pub fn offset(&self, of: &str, field: &str) -> Option<Offset> {
        self.offsets.get(of)?.get(field).copied()
    }
}

/// Structs by name, each with its fields and their offsets.
pub type Layouts = BTreeMap<String, BTreeMap<String, u32>>;

/// All structs that a program's debug information describes and `wanted` accepts, with its build; for making
/// the table of offsets.
pub fn layouts(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<(Build, Layouts), GoError> {
    let (file, _) = file::open(path)?;
    let image = Image::read(&file)?;
    let mut layouts = Layouts::new();
    dwarf::members(&image, wanted, |of, name, place| {
        layouts.entry(of.to_owned()).or_default().insert(name.to_owned(), place);
    })?;
    Ok((build::read(&image)?, layouts))
}

/// Finds functions and reads their code.
fn find(
    image: &Image<'_>,
    table: &Table,
    wanted: &[&str],
) -> Result<HashMap<String, Function>, GoError> {
    let mut found: HashMap<String, Function> = HashMap::new();
    let text = text::find(image, table)?;
    for entry in table.functions(image, wanted)? {
        let size = (entry.code.end - entry.code.start).min(MAX_CODE);
        let there = text.checked_add(entry.code.start).and_then(|address| image.place(address));
        let Some((offset, _)) = there.filter(|(_, there)| *there >= size) else { continue };
        // A wrapper has the same name as what it wraps, and less code.
        let known = found.get(&entry.name).map_or(0, |known| known.code.end - known.code.start);
        if size <= known {
            continue;
        }
        let code = image.bytes(offset, usize::try_from(size).unwrap_or(0))?;
        let sites = code::places(image.machine, &code);
        let place = |(at, imitated)| Site { offset: offset + at, imitated };
        let call = |(at, far): &(u64, i64)| {
            Some(Call { site: place((*at, false)), to: offset.checked_add_signed(*far)? })
        };
        let function = Function {
            code: offset..offset + size,
            entry: place(sites.entry),
            returns: sites.returns.iter().map(|at| place((*at, false))).collect(),
            calls: sites.calls.iter().filter_map(call).collect(),
        };
        found.insert(entry.name, function);
    }
    Ok(found)
}

/// A name without the path of a `vendor` folder in front of its package.
fn unvendored(name: &[u8]) -> &[u8] {
    const VENDOR: &[u8] = b"/vendor/";
    match memchr::memmem::rfind(name, VENDOR) {
        Some(at) => name.get(at + VENDOR.len()..).unwrap_or_default(),
        None => name,
    }
}
