// SPDX-License-Identifier: Apache-2.0
//! Facts from an ELF file's headers, section names, strings and notes.
//!
//! Sections are optional in a program that runs; what they would tell is then looked for in the segments,
//! as far as that is cheap.

use std::fs::File;

use object::elf::{DT_NEEDED, DynamicTag, FileHeader32, FileHeader64, PF_W, PT_LOAD};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadRef, StringTable};

use crate::file::ExeError;
use crate::go::{GoBuild, block};
use crate::mark::{self, Mark};
use crate::search::Search;
use crate::sections::Sections;
use crate::source::Source;

/// Libraries kept per file.
const MAX_NEEDED: usize = 256;
/// Segments in which a Go build block is looked for when sections are gone, and how far.
const MAX_DATA_SEGMENTS: usize = 4;
const GO_SEARCH_BYTES: u64 = 64 << 10;

/// What a program's file tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The machine it is for (`e_machine`: 62 is x86-64, 183 is 64-bit ARM).
    pub machine: u16,
    /// Whether its addresses have 64 bits.
    pub is_64: bool,
    /// The linker's id of this build (`NT_GNU_BUILD_ID`), at most 64 bytes.
    pub build_id: Option<Vec<u8>>,
    /// How it was built, when by the Go toolchain. Stripping does not hide it.
    pub go: Option<GoBuild>,
    /// What else its build left in it: the strongest mark only, none when it is a Go program.
    pub mark: Option<Mark>,
    /// The dynamic loader it asks for; none when it is linked statically.
    pub interpreter: Option<String>,
    /// Shared libraries it names, at most 256.
    pub needed: Vec<String>,
}

impl Facts {
    /// Whether it names a C or C++ standard library.
    #[must_use]
    pub fn libc(&self) -> bool {
        ["libc.so", "libc.musl", "ld-musl", "libstdc++.so", "libc++.so"]
            .iter()
            .any(|library| self.needed.iter().any(|name| name.starts_with(library)))
    }

    /// Whether no library is loaded before its first instruction.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none()
    }
}

/// Reads all facts of `file`.
pub(crate) fn facts(file: &File) -> Result<Facts, ExeError> {
    let source = Source::new(file);
    let facts = match FileKind::parse(&source) {
        Ok(FileKind::Elf64) => of_class::<FileHeader64<Endianness>>(&source, file),
        Ok(FileKind::Elf32) => of_class::<FileHeader32<Endianness>>(&source, file),
        _ => Err(ExeError::NotElf),
    };
    facts.map_err(|error| match error {
        ExeError::Malformed(_) if source.exhausted() => ExeError::TooLarge,
        error => error,
    })
}

fn of_class<Elf: FileHeader<Endian = Endianness>>(
    source: &Source<'_>,
    file: &File,
) -> Result<Facts, ExeError> {
    let header = Elf::parse(source).map_err(|_| ExeError::Malformed("file header"))?;
    let endian = header.endian().map_err(|_| ExeError::Malformed("byte order"))?;
    let segments =
        header.program_headers(endian, source).map_err(|_| ExeError::Malformed("segment table"))?;
    let sections = Sections::read::<Elf>(header, endian, source)?;
    let mut facts = Facts {
        machine: header.e_machine(endian).0,
        is_64: header.is_class_64(),
        build_id: build_id::<Elf>(segments, endian, source),
        go: go::<Elf>(&sections, segments, endian, source),
        interpreter: segments
            .iter()
            .find_map(|segment| segment.interpreter(endian, source).ok().flatten())
            .map(lossy),
        needed: needed::<Elf>(segments, endian, source)?,
        ..Facts::default()
    };
    if facts.go.is_none() {
        facts.mark = mark::find(&sections, &mut Search::new(file))?;
    }
    Ok(facts)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn build_id<Elf: FileHeader>(
    segments: &[Elf::ProgramHeader],
    endian: Elf::Endian,
    source: &Source<'_>,
) -> Option<Vec<u8>> {
    segments.iter().find_map(|segment| {
        let mut notes = segment.notes(endian, source).ok().flatten()?;
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU" && note.n_type(endian) == object::elf::NT_GNU_BUILD_ID {
                return note.desc().get(..note.desc().len().min(64)).map(<[u8]>::to_vec);
            }
        }
        None
    })
}

fn go<Elf: FileHeader>(
    sections: &Sections,
    segments: &[Elf::ProgramHeader],
    endian: Elf::Endian,
    source: &Source<'_>,
) -> Option<GoBuild> {
    let read = |at: u64, size: u64| {
        let bytes = source.read_bytes_at(at, size.min(block::BLOCK_BYTES)).unwrap_or_default();
        block::read(bytes)
    };
    if sections.has(b".go.buildinfo") {
        let bytes = sections.bytes(b".go.buildinfo");
        return Some(read(bytes.start, bytes.end - bytes.start));
    }
    if sections.has(b".gopclntab") || sections.has(b".data.rel.ro.gopclntab") {
        return Some(GoBuild::default());
    }
    if !sections.is_empty() {
        return None;
    }
    // No section table at all: the block is near the start of the data.
    let data = segments.iter().filter(|segment| {
        segment.p_type(endian) == PT_LOAD && segment.p_flags(endian).contains(PF_W)
    });
    data.take(MAX_DATA_SEGMENTS).find_map(|segment| {
        let (offset, size) = segment.file_range(endian);
        let bytes = source.read_bytes_at(offset, size.min(GO_SEARCH_BYTES)).ok()?;
        let at = bytes.chunks(16).position(|chunk| chunk.starts_with(block::MAGIC))? * 16;
        bytes.get(at..).map(block::read)
    })
}

fn needed<Elf: FileHeader>(
    segments: &[Elf::ProgramHeader],
    endian: Elf::Endian,
    source: &Source<'_>,
) -> Result<Vec<String>, ExeError> {
    let malformed = |_| ExeError::Malformed("dynamic section");
    let Some(entries) = segments
        .iter()
        .find_map(|segment| segment.dynamic(endian, source).transpose())
        .transpose()
        .map_err(malformed)?
    else {
        return Ok(Vec::new());
    };
    let value = |tag: DynamicTag| {
        entries.iter().find(|entry| entry.tag(endian) == tag).map(|e| e.val(endian))
    };
    let (Some(address), Some(size)) = (value(object::elf::DT_STRTAB), value(object::elf::DT_STRSZ))
    else {
        return Ok(Vec::new());
    };
    // The table is named by address; the segment that holds the address tells where it is in the file.
    let Some(start) = segments.iter().find_map(|segment| {
        let within = address.checked_sub(segment.p_vaddr(endian).into())?;
        let (offset, filled) = segment.file_range(endian);
        (segment.p_type(endian) == PT_LOAD && within < filled)
            .then(|| offset.checked_add(within))
            .flatten()
    }) else {
        return Err(ExeError::Malformed("dynamic string table"));
    };
    let strings = StringTable::new(source, start, start.saturating_add(size));
    entries
        .iter()
        .filter(|entry| entry.tag(endian) == DT_NEEDED)
        .take(MAX_NEEDED)
        .map(|entry| {
            let at = entry.val32(endian).ok_or(())?;
            strings.get(at).map(lossy)
        })
        .collect::<Result<_, ()>>()
        .map_err(|()| ExeError::Malformed("name of a library"))
}
