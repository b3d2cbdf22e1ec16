// SPDX-License-Identifier: Apache-2.0
//! Functions of `CPython` by the tables in which it looks its methods up itself. They are there when symbols are not.
//!
//! A row of a table of methods is `{ name, function, flags, documentation }`; the last row is empty. Types are structs
//! that have not changed in what is used here since Python 3.7.

use vor_exe::Native;

/// Bytes of a row.
const ROW: u64 = 32;
const FUNCTION: u64 = 8;
/// The longest table that is followed, in rows.
const MAX_ROWS: u64 = 128;
/// Where a type has its methods and its `__new__`.
const TYPE_METHODS: u64 = 232;
const TYPE_NEW: u64 = 312;

/// Where in the file the functions of the methods `names` begin, in the table that has all of them beside a method
/// `anchor`.
pub(super) fn methods<const N: usize>(
    native: &Native<'_>,
    anchor: &str,
    names: [&str; N],
) -> Option<[u64; N]> {
    let texts = native.texts(anchor).into_iter();
    let rows = texts.flat_map(|text| native.pointers(text));
    let tables = rows.filter(|row| function(native, *row).is_some()).map(|row| first(native, row));
    tables.into_iter().find_map(|table| {
        let found = names.map(|name| method(native, table, name));
        let all: Vec<_> = found.into_iter().flatten().collect();
        all.try_into().ok()
    })
}

/// A type.
pub(super) struct ObjectType<'n, 'f> {
    native: &'n Native<'f>,
    methods: u64,
    /// Where in the file the function begins that makes a new object.
    pub(super) new: u64,
}

/// The type at `address`.
pub(super) fn object_type<'n, 'f>(
    native: &'n Native<'f>,
    address: u64,
) -> Option<ObjectType<'n, 'f>> {
    let methods = native.word(address.checked_add(TYPE_METHODS)?)?;
    let new = native.code(native.word(address.checked_add(TYPE_NEW)?)?)?;
    Some(ObjectType { native, methods, new })
}

impl ObjectType<'_, '_> {
    /// Where in the file the function of the method `name` begins.
    pub(super) fn method(&self, name: &str) -> Option<u64> {
        method(self.native, self.methods, name)
    }
}

/// The first row of the table that has this one.
fn first(native: &Native<'_>, row: u64) -> u64 {
    let before = |row: &u64| row.checked_sub(ROW).filter(|row| function(native, *row).is_some());
    let rows = std::iter::successors(Some(row), before);
    rows.take(usize::try_from(MAX_ROWS).unwrap_or(usize::MAX)).last().unwrap_or(row)
}

fn method(native: &Native<'_>, table: u64, name: &str) -> Option<u64> {
    (0..MAX_ROWS)
        .map_while(|index| {
            let row = table.checked_add(index * ROW)?;
            let function = function(native, row)?;
            Some((native.text(native.word(row)?)?, function))
        })
        .find_map(|(text, function)| (text == name.as_bytes()).then_some(function))
}

/// Where in the file the function of a row begins; none when this is no row.
fn function(native: &Native<'_>, row: u64) -> Option<u64> {
    let name = native.text(native.word(row)?)?;
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if name.is_empty() || !is_name {
        return None;
    }
    native.code(native.word(row.checked_add(FUNCTION)?)?)
}
