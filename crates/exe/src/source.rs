// SPDX-License-Identifier: Apache-2.0
//! A file as the ELF reader sees it: any range on demand, within a budget.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;

use object::ReadRef;
use object::read::ReadCache;

/// Bytes of headers, tables and strings that are kept while one file is read. A section table of
/// 65,535 entries, the most that an ordinary ELF header can name, is just under it.
const STRUCTURE_BYTES: u64 = 4 << 20;

/// What the reader may ask for when it looks for the end of one string.
const STRING_BYTES: u64 = 4096;

/// Ranges of one file, kept until it is dropped.
pub(crate) struct Source<'f> {
    ranges: ReadCache<&'f File>,
    left: Cell<u64>,
}

impl<'f> Source<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        Self { ranges: ReadCache::new(file), left: Cell::new(STRUCTURE_BYTES) }
    }

    /// True when the file asked for more than anybody needs.
    pub(crate) fn exhausted(&self) -> bool {
        self.left.get() == 0
    }

    fn spend(&self, bytes: u64) -> Result<(), ()> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(())
    }
}

impl<'a> ReadRef<'a> for &'a Source<'_> {
    fn len(self) -> Result<u64, ()> {
        (&self.ranges).len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.spend(size)?;
        self.ranges.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.spend(STRING_BYTES)?;
        self.ranges.read_bytes_at_until(range, delimiter)
    }
}
