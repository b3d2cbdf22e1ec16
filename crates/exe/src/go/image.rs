// SPDX-License-Identifier: Apache-2.0
//! A Go program's file by address and by section, read in pieces and within a budget.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memchr::memmem;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PF_X, PT_LOAD, SHF_COMPRESSED};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, StringTable};

use super::GoError;
use crate::file::ExeError;
use crate::source::Source;

/// Bytes that are read of one file, structures apart: functions, code and types of a program of 500 MiB.
const BUDGET: u64 = 512 << 20;
/// Bytes of a stream that are in memory at a time.
const PIECE: usize = 128 << 10;
/// Sections and segments that are kept; a Go program has about 40.
const MAX_PARTS: usize = 4096;

/// Machines whose Go code is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64.
    X86,
    /// 64-bit ARM.
    Arm,
}

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) code: bool,
}

/// A named part of the file.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) name: Vec<u8>,
    pub(super) address: u64,
    pub(super) bytes: Range<u64>,
    pub(super) compressed: bool,
}

/// Where a file's parts are.
#[derive(Debug)]
pub(super) struct Image<'f> {
    file: &'f File,
    pub(super) machine: Machine,
    pub(super) segments: Vec<Segment>,
    pub(super) sections: Vec<Section>,
    left: Cell<u64>,
}

impl<'f> Image<'f> {
    pub(super) fn read(file: &'f File) -> Result<Self, GoError> {
        let malformed = |what| move |_| GoError::from(ExeError::Malformed(what));
        let source = Source::new(file);
        let header = FileHeader64::<Endianness>::parse(&source).map_err(|_| ExeError::NotElf)?;
        let endian = header.endian().map_err(malformed("byte order"))?;
        let machine = match (header.e_machine(endian), endian) {
            (EM_X86_64, Endianness::Little) => Machine::X86,
            (EM_AARCH64, Endianness::Little) => Machine::Arm,
            (other, _) => return Err(GoError::Machine(other.0)),
        };
        let segments = header
            .program_headers(endian, &source)
            .map_err(malformed("segment table"))?
            .iter()
            .filter(|segment| segment.p_type(endian) == PT_LOAD)
            .take(MAX_PARTS)
            .map(|segment| {
                let (offset, size) = segment.file_range(endian);
                let code = segment.p_flags(endian).contains(PF_X);
                Segment { address: segment.p_vaddr(endian), offset, size, code }
            })
            .collect();
        let sections = sections(header, endian, &source)?;
        Ok(Self { file, machine, segments, sections, left: Cell::new(BUDGET) })
    }

    pub(super) fn section(&self, names: &[&str]) -> Option<&Section> {
        names.iter().find_map(|name| self.sections.iter().find(|s| s.name == name.as_bytes()))
    }

    /// Where in the file the byte at `address` is, and how many follow it there.
    pub(super) fn place(&self, address: u64) -> Option<(u64, u64)> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address).filter(|at| *at < segment.size)?;
            Some((segment.offset.checked_add(within)?, segment.size - within))
        })
    }

    /// Fills `bytes` as far as the file goes.
    pub(super) fn fill(&self, bytes: &mut [u8], offset: u64) -> Result<usize, GoError> {
        let wanted = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let left = self.left.get().checked_sub(wanted).ok_or(ExeError::TooLarge)?;
        self.left.set(left);
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ExeError::from(error).into()),
            }
        }
        Ok(filled)
    }

    /// The first that `accept` makes of the places where `pattern` stands in data that is loaded, in the first
    /// `limit` bytes of each segment.
    pub(super) fn search<T>(
        &self,
        pattern: &[u8],
        limit: u64,
        mut accept: impl FnMut(u64) -> Result<Option<T>, GoError>,
    ) -> Result<Option<T>, GoError> {
        let finder = memmem::Finder::new(pattern);
        let mut piece = vec![0; PIECE];
        for segment in self.segments.iter().filter(|s| !s.code || self.segments.len() == 1) {
            let end = segment.offset.saturating_add(segment.size.min(limit));
            let mut at = segment.offset;
            while at < end {
                let filled = self.fill(&mut piece, at)?;
                for found in finder.find_iter(piece.get(..filled).unwrap_or_default()) {
                    let place = at.saturating_add(u64::try_from(found).unwrap_or(u64::MAX));
                    if let Some(accepted) = accept(place)? {
                        return Ok(Some(accepted));
                    }
                }
                // The pattern may be cut by the end of this piece.
                let next = filled.saturating_sub(pattern.len() - 1);
                if filled < PIECE || next == 0 {
                    break;
                }
                at = at.saturating_add(u64::try_from(next).unwrap_or(u64::MAX));
            }
        }
        Ok(None)
    }

    /// Up to `length` bytes at `offset`.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>, GoError> {
        let mut bytes = vec![0; length];
        let filled = self.fill(&mut bytes, offset)?;
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn sections<'a>(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    source: &'a Source<'a>,
) -> Result<Vec<Section>, GoError> {
    let table =
        header.section_headers(endian, source).map_err(|_| ExeError::Malformed("section table"))?;
    // Without names a section tells nothing; the program runs without them, so this is no error.
    let names = header
        .shstrndx(endian, source)
        .ok()
        .and_then(|index| table.get(usize::try_from(index).ok()?))
        .and_then(|section| section.data(endian, source).ok())
        .unwrap_or_default();
    let strings = StringTable::new(names, 0, u64::try_from(names.len()).unwrap_or(0));
    let parts = table.iter().take(MAX_PARTS).filter_map(|section| {
        let name = section.name(endian, strings).ok().filter(|name| !name.is_empty())?.to_vec();
        let (at, size) = section.file_range(endian)?;
        let compressed = section.sh_flags(endian).contains(SHF_COMPRESSED);
        let address = section.sh_addr(endian);
        Some(Section { name, address, bytes: at..at.saturating_add(size), compressed })
    });
    Ok(parts.collect())
}

/// A place in a file that is read forwards: short looks are served from one larger piece.
pub(super) struct Window<'i, 'f> {
    image: &'i Image<'f>,
    start: u64,
    piece: Vec<u8>,
    size: usize,
}

impl<'i, 'f> Window<'i, 'f> {
    pub(super) fn new(image: &'i Image<'f>, size: usize) -> Self {
        Self { image, start: 0, piece: Vec::new(), size }
    }

    /// The `N` bytes at `offset`; none beyond the end of the file.
    pub(super) fn array<const N: usize>(
        &mut self,
        offset: u64,
    ) -> Result<Option<[u8; N]>, GoError> {
        if self.look::<N>(offset).is_none() {
            self.start = offset;
            self.piece.resize(self.size.max(N), 0);
            let filled = self.image.fill(&mut self.piece, offset)?;
            self.piece.truncate(filled);
        }
        Ok(self.look::<N>(offset))
    }

    fn look<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.piece.get(at..)?.first_chunk::<N>().copied()
    }
}

/// A range of the file as a stream.
pub(super) struct Reader<'i, 'f> {
    image: &'i Image<'f>,
    bytes: Range<u64>,
    piece: Vec<u8>,
    used: usize,
}

impl<'i, 'f> Reader<'i, 'f> {
    pub(super) fn new(image: &'i Image<'f>, bytes: Range<u64>) -> Self {
        Self { image, bytes, piece: Vec::new(), used: 0 }
    }
}

impl Read for Reader<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() {
            let left = self.bytes.end.saturating_sub(self.bytes.start);
            self.piece.resize(PIECE.min(usize::try_from(left).unwrap_or(PIECE)), 0);
            let filled = self
                .image
                .fill(&mut self.piece, self.bytes.start)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            self.piece.truncate(filled);
            self.bytes.start += u64::try_from(filled).unwrap_or(0);
            self.used = 0;
        }
        let ready = self.piece.get(self.used..).unwrap_or_default();
        let given = ready.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..given), ready.get(..given)) {
            to.copy_from_slice(from);
        }
        self.used += given;
        Ok(given)
    }
}
