// SPDX-License-Identifier: Apache-2.0
//! A native program's data as its loader leaves it: symbols, texts, and words that point to code.
//!
//! A stripped program has lost the names of its own functions, but not the tables by which it finds them itself. A
//! table's row has a pointer to a text and, beside it, a pointer to a function; in a program that can be loaded
//! anywhere those words are empty in the file, and the relocations say what comes there.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem;
use object::Endianness;
use object::elf::{
    EM_AARCH64, FileHeader64, PF_X, PT_LOAD, R_AARCH64_RELATIVE, R_X86_64_RELATIVE, SHT_DYNSYM,
    SHT_RELA, SHT_SYMTAB,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use crate::file::ExeError;
use crate::go::Machine;
use crate::go::code::places;
use crate::source::Source;

/// Bytes of data, tables and names that are read of one file.
const BUDGET: u64 = 64 << 20;
/// Bytes of a word, and of a row of the tables of relocations and of symbols.
const WORD: usize = 8;
const ROW: usize = 24;
/// The longest text that is of interest.
const MAX_TEXT: usize = 256;
/// The longest function that is read, in bytes.
const MAX_CODE: u64 = 64 << 10;

/// A native program or library for 64-bit x86 or ARM.
#[derive(Debug)]
pub struct Native<'f> {
    file: &'f File,
    machine: Machine,
    parts: Vec<Part>,
    data: Vec<(u64, Vec<u8>)>,
    /// What the loader writes, by address.
    written: HashMap<u64, u64>,
    tables: Vec<Symbols>,
}

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy)]
struct Part {
    address: u64,
    offset: u64,
    size: u64,
    code: bool,
}

/// A function of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its symbol's name.
    pub name: Vec<u8>,
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

struct Symbol {
    address: u64,
    size: u64,
    name: Vec<u8>,
}

/// Where a table of symbols and its names are in the file.
#[derive(Debug, Clone, Copy)]
struct Symbols {
    rows: (u64, u64),
    names: (u64, u64),
}

impl<'f> Native<'f> {
    /// Reads where everything is, and no data yet: enough for [`Native::symbols`] and [`Native::code`].
    pub fn open(file: &'f File) -> Result<Self, ExeError> {
        let source = Source::new(file);
        let header = FileHeader64::<Endianness>::parse(&source).map_err(|_| ExeError::NotElf)?;
        let endian = header.endian().map_err(|_| ExeError::Malformed("byte order"))?;
        if endian != Endianness::Little {
            return Err(ExeError::Malformed("byte order"));
        }
        let parts = header
            .program_headers(endian, &source)
            .map_err(|_| ExeError::Malformed("segment table"))?
            .iter()
            .filter(|segment| segment.p_type(endian) == PT_LOAD)
            .map(|segment| {
                let (offset, size) = segment.file_range(endian);
                let code = segment.p_flags(endian).contains(PF_X);
                Part { address: segment.p_vaddr(endian), offset, size, code }
            })
            .collect();
        let sections = header
            .section_headers(endian, &source)
            .map_err(|_| ExeError::Malformed("section table"))?;
        let arm = header.e_machine(endian) == EM_AARCH64;
        let mut native = Self {
            file,
            machine: if arm { Machine::Arm } else { Machine::X86 },
            parts,
            data: Vec::new(),
            written: HashMap::new(),
            tables: Vec::new(),
        };
        for section in sections {
            let Some(rows) = section.file_range(endian) else { continue };
            match section.sh_type(endian) {
                SHT_DYNSYM | SHT_SYMTAB => {
                    let names = usize::try_from(section.sh_link(endian)).ok();
                    let names = names.and_then(|link| sections.get(link)?.file_range(endian));
                    native.tables.extend(names.map(|names| Symbols { rows, names }));
                }
                SHT_RELA => native.relocate(rows)?,
                _ => {}
            }
        }
        Ok(native)
    }

    /// Reads the data too.
    pub fn read(file: &'f File) -> Result<Self, ExeError> {
        let mut native = Self::open(file)?;
        let mut left = BUDGET;
        for part in &native.parts {
            // Older linkers put constants beside the code.
            if part.code && native.parts.len() > 2 {
                continue;
            }
            left = left.checked_sub(part.size).ok_or(ExeError::TooLarge)?;
            native.data.push((part.address, bytes(file, (part.offset, part.size))?));
        }
        Ok(native)
    }

    fn relocate(&mut self, rows: (u64, u64)) -> Result<(), ExeError> {
        let relative = [R_X86_64_RELATIVE, R_AARCH64_RELATIVE].map(|kind| u64::from(kind.0));
        for row in bytes(self.file, rows)?.chunks_exact(ROW) {
            let field = |index| word_at(row, index * WORD);
            if let (Some(place), Some(info), Some(value)) = (field(0), field(1), field(2))
                && relative.contains(&info)
            {
                self.written.insert(place, value);
            }
        }
        Ok(())
    }

    /// Addresses of the symbols of these names.
    pub fn symbols<const N: usize>(&self, names: [&str; N]) -> Result<[Option<u64>; N], ExeError> {
        let wanted = names.map(|name| move |found: &[u8]| found == name.as_bytes());
        let found = self.find(&wanted)?;
        Ok(found.map(|found| found.map(|symbol| symbol.address)))
    }

    /// The first function whose name is accepted by each of `wanted`, its name with it.
    pub fn functions<const N: usize>(
        &self,
        wanted: [fn(&[u8]) -> bool; N],
    ) -> Result<[Option<Function>; N], ExeError> {
        let found = self.find(&wanted)?;
        Ok(found.map(|found| {
            found.and_then(|Symbol { address, size, name }| {
                Some(Function { name, offset: self.code(address)?, size })
            })
        }))
    }

    /// Where in the file a function returns.
    pub fn returns(&self, function: &Function) -> Result<Vec<u64>, ExeError> {
        let code = bytes(self.file, (function.offset, function.size.min(MAX_CODE)))?;
        let returns = places(self.machine, &code).returns;
        Ok(returns.into_iter().map(|at| function.offset.saturating_add(at)).collect())
    }

    fn find<F: Fn(&[u8]) -> bool, const N: usize>(
        &self,
        wanted: &[F; N],
    ) -> Result<[Option<Symbol>; N], ExeError> {
        let mut found = [const { None }; N];
        for table in &self.tables {
            let texts = bytes(self.file, table.names)?;
            for row in bytes(self.file, table.rows)?.chunks_exact(ROW) {
                let name = row.first_chunk().map(|at| u32::from_le_bytes(*at));
                let name = name.and_then(|at| texts.get(usize::try_from(at).ok()?..));
                let address = word_at(row, WORD).filter(|address| *address != 0);
                let (Some(name), Some(address)) = (name, address) else { continue };
                let Some(end) = memchr::memchr(0, name) else { continue };
                let name = name.get(..end).unwrap_or_default();
                for (wanted, found) in wanted.iter().zip(&mut found) {
                    if found.is_none() && wanted(name) {
                        let size = word_at(row, 2 * WORD).unwrap_or_default();
                        *found = Some(Symbol { address, size, name: name.to_vec() });
                    }
                }
            }
        }
        Ok(found)
    }

    /// Where in the file the instruction at `address` is; nowhere when that is not code.
    #[must_use]
    pub fn code(&self, address: u64) -> Option<u64> {
        self.parts.iter().filter(|part| part.code).find_map(|part| {
            let within = address.checked_sub(part.address).filter(|at| *at < part.size)?;
            part.offset.checked_add(within)
        })
    }

    /// The word at `address`, as the loader leaves it.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        self.written.get(&address).copied().or_else(|| word_at(self.at(address)?, 0))
    }

    /// The text at `address`.
    #[must_use]
    pub fn text(&self, address: u64) -> Option<&[u8]> {
        let rest = self.at(address)?;
        let end = rest.iter().take(MAX_TEXT).position(|byte| *byte == 0)?;
        rest.get(..end)
    }

    /// Addresses at which exactly this text stands.
    #[must_use]
    pub fn texts(&self, text: &str) -> Vec<u64> {
        let pattern = [&[0], text.as_bytes(), &[0]].concat();
        let mut found = Vec::new();
        for (address, bytes) in &self.data {
            let places = memmem::find_iter(bytes, &pattern);
            found.extend(places.map(|at| address.saturating_add(size(at)).saturating_add(1)));
        }
        found
    }

    /// Addresses of the words that point to `target`.
    #[must_use]
    pub fn pointers(&self, target: u64) -> Vec<u64> {
        let moved = self.written.iter().filter(|(_, value)| **value == target);
        let mut found: Vec<_> = moved.map(|(place, _)| *place).collect();
        let pattern = target.to_le_bytes();
        for (address, bytes) in &self.data {
            let places = memmem::find_iter(bytes, &pattern);
            let places = places.map(|at| address.saturating_add(size(at)));
            found
                .extend(places.filter(|at| at % size(WORD) == 0 && !self.written.contains_key(at)));
        }
        found.sort_unstable();
        found
    }

    fn at(&self, address: u64) -> Option<&[u8]> {
        self.data.iter().find_map(|(start, bytes)| {
            let within = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(within..).filter(|rest| !rest.is_empty())
        })
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// A range of the file: where, and how many.
fn bytes(file: &File, (at, size): (u64, u64)) -> Result<Vec<u8>, ExeError> {
    // A header may claim anything; a file has no more than it has.
    let size = size.min(file.metadata()?.len().saturating_sub(at));
    if size > BUDGET {
        return Err(ExeError::TooLarge);
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| ExeError::TooLarge)?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> File {
        File::open("/proc/self/exe").unwrap()
    }

    static GREETING: &str = "a text that only this test has";

    #[test]
    fn a_symbol_has_an_address_in_code() {
        let file = own();
        let native = Native::open(&file).unwrap();
        let [main, none] = native.symbols(["main", "no_such_symbol"]).unwrap();
        assert!(native.code(main.unwrap()).is_some());
        assert_eq!(none, None);
    }

    #[test]
    fn a_pointer_to_a_text_is_found_as_the_loader_leaves_it() {
        let file = own();
        let native = Native::read(&file).unwrap();
        let _ = std::hint::black_box(GREETING);
        // The text of a `str` has no zero before or after it, so it is searched as bytes.
        let place = native.data.iter().find_map(|(address, bytes)| {
            Some(address + size(memmem::find(bytes, GREETING.as_bytes())?))
        });
        let found = native.pointers(place.unwrap());
        assert!(!found.is_empty());
        assert!(found.iter().all(|at| native.word(*at) == place));
    }
}
