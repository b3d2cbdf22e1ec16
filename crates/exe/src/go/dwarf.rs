// SPDX-License-Identifier: Apache-2.0
//! Where fields are in structs, from a program's debug information.
//!
//! The Go linker puts all types into the unit of package `runtime`. Units are read one after another, and one
//! is in memory at a time.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, EndianSlice, EntriesRaw, LittleEndian,
    UnitHeader,
};

use super::GoError;
use super::image::{self, Image};
use crate::file::ExeError;

/// The largest unit that is read: types of a program of 500 MiB.
const MAX_UNIT: u64 = 96 << 20;
const MAX_ABBREVIATIONS: u64 = 1 << 20;
/// Bytes of a header of compressed sections; its first word is the method, 1 for zlib.
const COMPRESSION_HEADER: usize = 24;
const ZLIB: u8 = 1;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// Calls `found` with struct, member and offset for all structs whose names `wanted` accepts. False when the
/// file has no debug information of types.
pub(super) fn members(
    image: &Image<'_>,
    wanted: impl Fn(&str) -> bool,
    mut found: impl FnMut(&str, &str, u32),
) -> Result<bool, GoError> {
    let (Some(mut info), Some(abbreviations)) =
        (open(image, ".debug_info")?, open(image, ".debug_abbrev")?)
    else {
        return Ok(false);
    };
    let mut kinds = Vec::new();
    abbreviations.take(MAX_ABBREVIATIONS).read_to_end(&mut kinds).map_err(cut)?;
    let mut unit = Vec::new();
    while next_unit(&mut info, &mut unit)? {
        // A unit that cannot be read describes nothing; the others may.
        if types(&unit, &kinds, &wanted, &mut found).unwrap_or(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A debug section, unpacked as it is read.
fn open<'i>(image: &'i Image<'_>, name: &str) -> Result<Option<Box<dyn Read + 'i>>, GoError> {
    let Some(section) = image.section(&[name]) else { return Ok(None) };
    let mut plain = image::Reader::new(image, section.bytes.clone());
    if !section.compressed {
        return Ok(Some(Box::new(plain)));
    }
    let mut header = [0; COMPRESSION_HEADER];
    plain.read_exact(&mut header).map_err(cut)?;
    match header.first() {
        Some(&ZLIB) => Ok(Some(Box::new(ZlibDecoder::new(plain)))),
        _ => Ok(None),
    }
}

/// Reads one unit, its length in front included. False at the end.
fn next_unit(info: &mut dyn Read, unit: &mut Vec<u8>) -> Result<bool, GoError> {
    unit.clear();
    // The length: four bytes, or after a mark eight.
    info.take(4).read_to_end(unit).map_err(cut)?;
    let Some(short) = unit.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) else {
        return Ok(false);
    };
    let mut length = u64::from(short);
    if short == u32::MAX {
        info.take(8).read_to_end(unit).map_err(cut)?;
        let long = unit.get(4..).and_then(<[u8]>::first_chunk::<8>);
        length = u64::from_le_bytes(*long.ok_or(ExeError::Malformed("debug information"))?);
    }
    if length > MAX_UNIT {
        return Err(ExeError::TooLarge.into());
    }
    info.take(length).read_to_end(unit).map_err(cut)?;
    Ok(true)
}

fn cut(error: io::Error) -> GoError {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            ExeError::Malformed("debug information").into()
        }
        _ => ExeError::from(error).into(),
    }
}

/// Tells what a unit says about wanted structs. False when it is not the unit of types.
fn types(
    unit: &[u8],
    kinds: &[u8],
    wanted: &impl Fn(&str) -> bool,
    found: &mut impl FnMut(&str, &str, u32),
) -> gimli::Result<bool> {
    let info = DebugInfo::new(unit, LittleEndian);
    let Some(header) = info.units().next()? else { return Ok(false) };
    let kinds = header.abbreviations(&DebugAbbrev::new(kinds, LittleEndian))?;
    if !has_types(&header, &kinds)? {
        return Ok(false);
    }
    let mut structs = false;
    let mut entries = header.entries_raw(&kinds, None)?;
    while !entries.is_empty() {
        let depth = entries.next_depth();
        let Some(kind) = entries.read_abbreviation()? else { continue };
        if kind.tag() != gimli::DW_TAG_structure_type || !kind.has_children() {
            entries.skip_attributes(kind.attributes())?;
            continue;
        }
        structs = true;
        let (name, _) = name_and_place(&mut entries, kind.attributes())?;
        let name = name.and_then(|name| std::str::from_utf8(super::unvendored(name)).ok());
        if let Some(of) = name.filter(|name| wanted(name)) {
            each_member(&mut entries, depth, |member, place| found(of, member, place))?;
        }
    }
    Ok(structs)
}

/// Whether this is a unit of package `runtime`, written by the Go linker.
fn has_types(header: &UnitHeader<Bytes<'_>>, kinds: &Abbreviations) -> gimli::Result<bool> {
    let mut entries = header.entries_raw(kinds, None)?;
    let Some(root) = entries.read_abbreviation()? else { return Ok(false) };
    let (mut go, mut runtime) = (false, false);
    for specification in root.attributes() {
        let attribute = entries.read_attribute(*specification)?;
        match (attribute.name(), attribute.value()) {
            (gimli::DW_AT_language, AttributeValue::Language(language)) => {
                go = language == gimli::DW_LANG_Go;
            }
            (gimli::DW_AT_name, AttributeValue::String(name)) => {
                runtime = name.slice() == b"runtime";
            }
            _ => {}
        }
    }
    Ok(go && runtime)
}

/// Reads the members of a struct whose entry has just been read at `depth`.
fn each_member(
    entries: &mut EntriesRaw<'_, Bytes<'_>>,
    depth: isize,
    mut found: impl FnMut(&str, u32),
) -> gimli::Result<()> {
    while !entries.is_empty() && entries.next_depth() > depth {
        let Some(kind) = entries.read_abbreviation()? else { continue };
        let (name, place) = name_and_place(entries, kind.attributes())?;
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let place = place.and_then(|place| u32::try_from(place).ok());
        if let (Some(name), Some(place)) = (name, place) {
            found(name, place);
        }
    }
    Ok(())
}

/// Name and offset of an entry. The Go linker writes both in place.
fn name_and_place<'u>(
    entries: &mut EntriesRaw<'_, Bytes<'u>>,
    specifications: &[gimli::AttributeSpecification],
) -> gimli::Result<(Option<&'u [u8]>, Option<u64>)> {
    let (mut name, mut place) = (None, None);
    for specification in specifications {
        let attribute = entries.read_attribute(*specification)?;
        match (attribute.name(), attribute.value()) {
            (gimli::DW_AT_name, AttributeValue::String(text)) => name = Some(text.slice()),
            (gimli::DW_AT_data_member_location, value) => place = value.udata_value(),
            _ => {}
        }
    }
    Ok((name, place))
}
