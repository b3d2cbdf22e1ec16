// SPDX-License-Identifier: Apache-2.0
//! Where wanted fields are: by the table where the very version is in it, which costs nothing; else by the
//! program's debug information; else by the nearest version of the table.

use std::collections::{HashMap, HashSet};

use super::build::Build;
use super::image::Image;
use super::{Field, GoError, Offset, dwarf, table};

/// Offsets of fields by struct.
pub(super) type Offsets = HashMap<String, HashMap<String, Offset>>;

/// Finds the offsets of `wanted`.
pub(super) fn offsets(
    image: &Image<'_>,
    build: &Build,
    wanted: &[Field<'_>],
    known: &str,
) -> Result<Offsets, GoError> {
    let asked: HashSet<(&str, &str)> = wanted.iter().map(|field| (field.of, field.name)).collect();
    let structs: HashSet<&str> = asked.iter().map(|(of, _)| *of).collect();
    let mut found = Offsets::new();
    let mut sure: HashSet<&str> = HashSet::new();
    for layout in table::layouts(known, &structs, build) {
        if layout.sure {
            sure.insert(layout.of);
        }
        for (field, offset) in layout.fields {
            if asked.contains(&(layout.of, field)) {
                insert(&mut found, layout.of, field, offset);
            }
        }
    }
    let open: HashSet<&str> = structs
        .into_iter()
        .filter(|of| !sure.contains(of) && table::is_linked(build, of))
        .collect();
    if !open.is_empty() {
        dwarf::members(
            image,
            |of| open.contains(of),
            |of, field, place| {
                if asked.contains(&(of, field)) {
                    insert(&mut found, of, field, Offset::Known(place));
                }
            },
        )?;
    }
    Ok(found)
}

fn insert(found: &mut Offsets, of: &str, field: &str, offset: Offset) {
    match found.get_mut(of) {
        Some(fields) => drop(fields.insert(field.to_owned(), offset)),
        None => {
            found.insert(of.to_owned(), HashMap::from([(field.to_owned(), offset)]));
        }
    }
}
