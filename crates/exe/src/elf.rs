// SPDX-License-Identifier: Apache-2.0
//! Facts from an ELF file's headers, section names, strings and notes.
//!
//! Sections are optional in a program that runs; what they would tell is then looked for in the segments,
//! as far as that is cheap.

use std::fs::File;
use std::ops::Range;

use object::elf::{DT_NEEDED, FileHeader32, FileHeader64, PF_W, PT_LOAD};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, ReadRef, StringTable};

use crate::file::ExeError;
use crate::gobuild::{self, GoBuild};
use crate::search::Search;
use crate::source::Source;

/// Libraries kept per file.
const MAX_NEEDED: usize = 256;
/// Segments in which a Go build block is looked for when sections are gone, and how far.
const MAX_DATA_SEGMENTS: usize = 4;
const GO_SEARCH_BYTES: u64 = 64 << 10;

/// Names that only code of a runtime has, as they stand in a string table: the first that is found counts.
const SYMBOLS: [(&[u8], Sign); 6] = [
    (b"\0graal_", Sign::Graal),
    (b"\0JVM_", Sign::Graal),
    (b"rust_eh_personality", Sign::Rust),
    (b"rust_panic", Sign::Rust),
    (b"rust_begin_unwind", Sign::Rust),
    (b"__rust_alloc", Sign::Rust),
];
/// What the compiler writes about itself.
const COMMENT: [&[u8]; 1] = [b"rustc version"];
/// Where panics of the standard library say they happened; they survive stripping.
const PANIC_PATHS: [&[u8]; 3] =
    [b"/library/std/src/", b"/library/core/src/", b"/library/alloc/src/"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Graal,
    Rust,
}

/// What a program's file tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The linker's id of this build (`NT_GNU_BUILD_ID`), at most 64 bytes.
    pub build_id: Option<Vec<u8>>,
    /// How it was built, when by the Go toolchain. Stripping does not hide it.
    pub go: Option<GoBuild>,
    /// Whether it has Rust code of its own. Stripping hides it when the code cannot panic.
    pub rust: bool,
    /// Whether it is a GraalVM native image.
    pub graal: bool,
    /// The dynamic loader it asks for; none when it is linked statically.
    pub interpreter: Option<String>,
    /// Shared libraries it names, at most 256.
    pub needed: Vec<String>,
}

impl Facts {
    /// Whether it names the C++ standard library.
    #[must_use]
    pub fn cpp(&self) -> bool {
        ["libstdc++.so", "libc++.so"]
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
    let mut search = Search::new(file);
    let mut facts = Facts {
        build_id: build_id::<Elf>(segments, endian, source),
        go: go::<Elf>(&sections, segments, endian, source),
        interpreter: segments
            .iter()
            .find_map(|segment| segment.interpreter(endian, source).ok().flatten())
            .map(lossy),
        needed: needed::<Elf>(segments, endian, source)?,
        ..Facts::default()
    };
    facts.graal = sections.has(b".svm_heap");
    if facts.go.is_none() && !facts.graal {
        match sign(&sections, &mut search)? {
            Some(Sign::Graal) => facts.graal = true,
            Some(Sign::Rust) => facts.rust = true,
            None => {}
        }
    }
    Ok(facts)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn sign(sections: &Sections, search: &mut Search<'_>) -> Result<Option<Sign>, ExeError> {
    let words = SYMBOLS.map(|(word, _)| word);
    for name in [&b".strtab"[..], b".dynstr"] {
        let found = search.first(sections.bytes(name), &words)?;
        if let Some((_, sign)) = found.and_then(|index| SYMBOLS.get(index)) {
            return Ok(Some(*sign));
        }
    }
    let said = search.first(sections.bytes(b".comment"), &COMMENT)?.is_some();
    // Only a stripped program is searched for paths: the symbols of the others have answered already.
    let stripped = sections.bytes(b".strtab").is_empty();
    let rust =
        said || stripped && search.first(sections.bytes(b".rodata"), &PANIC_PATHS)?.is_some();
    Ok(rust.then_some(Sign::Rust))
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
    let block = |at: u64, size: u64| {
        let bytes = source.read_bytes_at(at, size.min(gobuild::BLOCK_BYTES)).unwrap_or_default();
        GoBuild { version: gobuild::version(bytes) }
    };
    if sections.has(b".go.buildinfo") {
        let bytes = sections.bytes(b".go.buildinfo");
        return Some(block(bytes.start, bytes.end - bytes.start));
    }
    if sections.has(b".gopclntab") || sections.has(b".data.rel.ro.gopclntab") {
        return Some(GoBuild::default());
    }
    if !sections.is_empty() {
        return None;
    }
    // No section table at all: the block is near the start of the data.
    let data = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD && segment.p_flags(endian) & PF_W != 0);
    data.take(MAX_DATA_SEGMENTS).find_map(|segment| {
        let (offset, size) = segment.file_range(endian);
        let bytes = source.read_bytes_at(offset, size.min(GO_SEARCH_BYTES)).ok()?;
        let at = bytes.chunks(16).position(|chunk| chunk.starts_with(gobuild::MAGIC))? * 16;
        Some(GoBuild { version: bytes.get(at..).and_then(gobuild::version) })
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
    let value = |tag: i64| entries.iter().find(|entry| entry.tag(endian) == tag).map(|e| e.val(endian));
    let (Some(address), Some(size)) =
        (value(object::elf::DT_STRTAB), value(object::elf::DT_STRSZ))
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

/// Names and places of a file's sections.
struct Sections(Vec<(Vec<u8>, Range<u64>)>);

impl Sections {
    /// The sections whose names we know. A table that cannot be read is an error; none at all is fine.
    fn read<Elf: FileHeader>(
        header: &Elf,
        endian: Elf::Endian,
        source: &Source<'_>,
    ) -> Result<Self, ExeError> {
        let table = header
            .section_headers(endian, source)
            .map_err(|_| ExeError::Malformed("section table"))?;
        if table.is_empty() {
            return Ok(Self(Vec::new()));
        }
        // Read whole, once: a file's names fit in a few hundred bytes.
        let names = header
            .shstrndx(endian, source)
            .ok()
            .and_then(|index| table.get(usize::try_from(index).ok()?))
            .and_then(|section| section.data(endian, source).ok())
            .ok_or(ExeError::Malformed("section names"))?;
        let end = u64::try_from(names.len()).unwrap_or(0);
        let strings = StringTable::new(names, 0, end);
        let mut known: Vec<(Vec<u8>, Range<u64>)> = Vec::new();
        for section in table {
            let Ok(name) = section.name(endian, strings) else { continue };
            if !WANTED.contains(&name) || known.iter().any(|(seen, _)| seen == name) {
                continue;
            }
            let (at, size) = section.file_range(endian).unwrap_or((0, 0));
            known.push((name.to_vec(), at..at.saturating_add(size)));
        }
        // Remembered even when no known name is among them, so that "no sections" stays what it is.
        known.push((Vec::new(), 0..0));
        Ok(Self(known))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Where a section is in the file; nowhere when there is none.
    fn bytes(&self, name: &[u8]) -> Range<u64> {
        self.0.iter().find(|(known, _)| known == name).map_or(0..0, |(_, range)| range.clone())
    }
}

const WANTED: [&[u8]; 8] = [
    b".go.buildinfo",
    b".gopclntab",
    b".data.rel.ro.gopclntab",
    b".svm_heap",
    b".strtab",
    b".dynstr",
    b".comment",
    b".rodata",
];
