// SPDX-License-Identifier: Apache-2.0
//! Functions by name, from the table that the Go runtime itself needs (`runtime.pcHeader` and what follows):
//! it is there in a stripped program, too.
//!
//! The table is read forwards in two passes, first the names, then the functions, and nothing of it is kept
//! but what was asked for.

use std::collections::HashMap;
use std::ops::Range;

use super::image::{Image, Window};
use super::{GoError, unvendored};
use crate::file::ExeError;

/// Bytes of the table's two passes that are in memory at a time, each.
const PIECE: usize = 256 << 10;
/// The longest name that is compared; longer ones are nobody's wish.
const MAX_NAME: usize = 4096;
/// Functions of one file: more than a program of 500 MiB has.
const MAX_FUNCTIONS: u64 = 8 << 20;
/// Bytes of the header.
const HEADER: usize = 72;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Go 1.16 and 1.17: entries are addresses.
    Addresses,
    /// Go 1.18 and later: entries count from the beginning of Go code.
    Offsets,
}

/// A table's header. All numbers are offsets in the file.
#[derive(Debug)]
pub(super) struct Table {
    form: Form,
    /// Where the file itself says that Go code begins (Go 1.18 to 1.25).
    pub(super) text: Option<u64>,
    count: u64,
    names: Range<u64>,
    functions: u64,
}

/// A function as the table has it: the distance of its first and last byte from the beginning of Go code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) code: Range<u64>,
}

impl Table {
    /// Finds the table: by its section, or else by its first bytes in what is loaded.
    pub(super) fn find(image: &Image<'_>) -> Result<Self, GoError> {
        let sections = [".gopclntab", ".data.rel.ro.gopclntab", "__gopclntab"];
        if let Some(section) = image.section(&sections) {
            return Self::read(image, section.bytes.start)?.ok_or(GoError::NoFunctions);
        }
        // All magic numbers end so, and two bytes of zero follow.
        let found = image
            .search(b"\xff\xff\xff\0\0", u64::MAX, |at| Self::read(image, at.saturating_sub(1)))?;
        found.ok_or(GoError::NoFunctions)
    }

    /// The table at `start`, if there is one.
    fn read(image: &Image<'_>, start: u64) -> Result<Option<Self>, GoError> {
        let header = image.bytes(start, HEADER)?;
        let Some((form, words)) = form(&header) else { return Ok(None) };
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        // Offsets follow the counts of functions and files, in later forms with the beginning of code between.
        let first = if form == Form::Offsets { 3 } else { 2 };
        let place = |at: usize| start.checked_add(word(first + at));
        let (Some(names), Some(names_end), Some(functions)) = (place(0), place(1), place(4)) else {
            return Ok(None);
        };
        let count = word(0);
        if count == 0 || count > MAX_FUNCTIONS || names_end <= names || functions <= names {
            return Ok(None);
        }
        let text = (form == Form::Offsets).then(|| word(2)).filter(|text| *text != 0);
        Ok(Some(Self { form, text, count, names: names..names_end, functions }))
    }

    /// Whether entries are addresses already, so that no beginning of code is to be added.
    pub(super) fn absolute(&self) -> bool {
        self.form == Form::Addresses
    }

    /// The functions with these names, in the order of code. A name may stand for several functions (a
    /// wrapper has the name of what it wraps).
    pub(super) fn functions(
        &self,
        image: &Image<'_>,
        wanted: &[&str],
    ) -> Result<Vec<Entry>, GoError> {
        let places = self.places_of_names(image, wanted)?;
        let mut found = Vec::new();
        self.each(image, 1, |code, name| {
            if let Some(name) = places.get(&name) {
                found.push(Entry { name: (*name).to_owned(), code });
            }
        })?;
        Ok(found)
    }

    /// About `samples` functions, evenly chosen.
    pub(super) fn sample(&self, image: &Image<'_>, samples: u64) -> Result<Vec<u64>, GoError> {
        let mut starts = Vec::new();
        self.each(image, (self.count / samples).max(1), |code, _| starts.push(code.start))?;
        Ok(starts)
    }

    /// Where each wanted name stands among the names. Names of vendored packages count as those of the
    /// packages themselves.
    fn places_of_names<'w>(
        &self,
        image: &Image<'_>,
        wanted: &[&'w str],
    ) -> Result<HashMap<u32, &'w str>, GoError> {
        let wanted: HashMap<&[u8], &str> =
            wanted.iter().map(|name| (name.as_bytes(), *name)).collect();
        let mut places = HashMap::new();
        let mut piece = vec![0; PIECE];
        let mut at = self.names.start;
        while at < self.names.end {
            let filled = image.fill(&mut piece, at)?;
            let mut rest = piece.get(..filled).unwrap_or_default();
            let mut used = 0;
            while let Some(end) = memchr::memchr(0, rest) {
                let (name, next) = rest.split_at(end);
                if let Some(known) =
                    (name.len() <= MAX_NAME).then(|| wanted.get(unvendored(name))).flatten()
                {
                    let place = (at - self.names.start).saturating_add(number(used));
                    places.insert(u32::try_from(place).unwrap_or(u32::MAX), *known);
                }
                rest = next.get(1..).unwrap_or_default();
                used += end + 1;
            }
            if filled < PIECE && used == 0 {
                break;
            }
            // A name without end in a whole piece is none: go on behind it.
            at = at.saturating_add(number(if used == 0 { PIECE } else { used }));
        }
        Ok(places)
    }

    /// Calls `act` with every `step`th function's code and the place of its name.
    fn each(
        &self,
        image: &Image<'_>,
        step: u64,
        mut act: impl FnMut(Range<u64>, u32),
    ) -> Result<(), GoError> {
        let cut = || GoError::from(ExeError::Malformed("function table"));
        let piece = if step == 1 { PIECE } else { 64 };
        let (mut rows, mut bodies) = (Window::new(image, piece), Window::new(image, piece));
        for index in (0..self.count).step_by(usize::try_from(step).unwrap_or(1)) {
            let (start, body, end) = match self.form {
                Form::Offsets => {
                    let row: [u8; 12] = rows.array(self.functions + index * 8)?.ok_or_else(cut)?;
                    (word32(&row, 0), word32(&row, 4), word32(&row, 8))
                }
                Form::Addresses => {
                    let row: [u8; 24] = rows.array(self.functions + index * 16)?.ok_or_else(cut)?;
                    (word64(&row, 0), word64(&row, 8), word64(&row, 16))
                }
            };
            // A body begins with its entry, once more, and then the place of its name.
            let skip = if self.form == Form::Offsets { 4 } else { 8 };
            let at = self.functions.checked_add(body).and_then(|at| at.checked_add(skip));
            let name: [u8; 4] = bodies.array(at.ok_or_else(cut)?)?.ok_or_else(cut)?;
            if start < end {
                act(start..end, u32::from_le_bytes(name));
            }
        }
        Ok(())
    }
}

/// The form of a header and its words.
fn form(header: &[u8]) -> Option<(Form, Vec<u64>)> {
    let (head, words) = header.split_first_chunk::<8>()?;
    let form = match head.first()? {
        0xfa => Form::Addresses,
        0xf0 | 0xf1 => Form::Offsets,
        _ => return None,
    };
    // Magic, two zeroes, the machine's smallest instruction, the size of its addresses.
    let rest_of_magic = head.get(1..6) == Some(&[0xff, 0xff, 0xff, 0, 0]);
    let sizes = matches!(head.get(6), Some(1 | 2 | 4)) && head.get(7) == Some(&8);
    let words = words.chunks_exact(8).map(|word| word64(word, 0)).collect();
    (rest_of_magic && sizes).then_some((form, words))
}

fn word32(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    word.map_or(0, |word| u32::from_le_bytes(*word).into())
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
