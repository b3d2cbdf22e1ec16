// SPDX-License-Identifier: Apache-2.0
//! Names and places of a file's sections: only those that tell something, each once.

use std::ops::Range;

use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, StringTable};

use crate::file::ExeError;
use crate::source::Source;

/// Sections by name.
pub(crate) struct Sections(Vec<(Vec<u8>, Range<u64>)>);

impl Sections {
    /// The sections whose names we know. A table that cannot be read is an error; none at all is fine.
    pub(crate) fn read<Elf: FileHeader<Endian = Endianness>>(
        header: &Elf,
        endian: Endianness,
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

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Where a section is in the file; nowhere when there is none.
    pub(crate) fn bytes(&self, name: &[u8]) -> Range<u64> {
        self.0.iter().find(|(known, _)| known == name).map_or(0..0, |(_, range)| range.clone())
    }
}

const WANTED: [&[u8]; 9] = [
    b".go.buildinfo",
    b".gopclntab",
    b".data.rel.ro.gopclntab",
    b".svm_heap",
    b"__managedcode",
    b".strtab",
    b".dynstr",
    b".comment",
    b".rodata",
];
