// SPDX-License-Identifier: Apache-2.0
//! Looks for words in a part of a file, reading it in pieces.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memchr::memmem::Finder;

/// Bytes that are searched of one file, all searches together.
const SEARCH_BYTES: u64 = 96 << 20;

const PIECE: usize = 64 << 10;

/// The longest word; pieces overlap by one byte less.
const LONGEST: usize = 64;

/// Searches one file until its budget is used up.
pub(crate) struct Search<'f> {
    file: &'f File,
    left: u64,
    piece: Vec<u8>,
}

impl<'f> Search<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        Self { file, left: SEARCH_BYTES, piece: Vec::new() }
    }

    /// The meaning of the word (at most 64 bytes each) that occurs in the first piece of `range` which has
    /// any; the first in the list where a piece has several. What lies beyond the budget or the end of the
    /// file is not there.
    pub(crate) fn first<T: Copy>(
        &mut self,
        range: Range<u64>,
        words: &[(&[u8], T)],
    ) -> io::Result<Option<T>> {
        let finders: Vec<_> =
            words.iter().map(|(word, meaning)| (Finder::new(word), *meaning)).collect();
        let (mut at, mut kept) = (range.start, 0);
        self.piece.resize(PIECE, 0);
        while at < range.end && self.left > 0 {
            let room = self.piece.get_mut(kept..).unwrap_or_default();
            let wanted = usize::try_from((range.end - at).min(self.left)).unwrap_or(room.len());
            let room_len = room.len().min(wanted);
            let read = match self.file.read_at(room.get_mut(..room_len).unwrap_or_default(), at) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let filled = kept + read;
            let text = self.piece.get(..filled).unwrap_or_default();
            if let Some((_, found)) = finders.iter().find(|(word, _)| word.find(text).is_some()) {
                return Ok(Some(*found));
            }
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            at += read;
            self.left = self.left.saturating_sub(read);
            let next = filled.min(LONGEST - 1);
            self.piece.copy_within(filled - next..filled, 0);
            kept = next;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_word_is_found_wherever_pieces_are_cut() {
        for at in [0, 1, PIECE - 8, PIECE - 1, PIECE, 2 * PIECE - 70, 3 * PIECE] {
            let mut file = tempfile::tempfile().unwrap();
            let mut bytes = vec![b'.'; at];
            bytes.extend_from_slice(b"rust_panic");
            bytes.extend_from_slice(&[b'.'; 100]);
            file.write_all(&bytes).unwrap();
            let end = u64::try_from(bytes.len()).unwrap();
            let words: [(&[u8], u8); 2] = [(b"absent", 0), (b"rust_panic", 1)];
            assert_eq!(Search::new(&file).first(0..end, &words).unwrap(), Some(1), "{at}");
            assert_eq!(Search::new(&file).first(0..end - 101, &words).unwrap(), None, "{at}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_and_a_file_without_end_cost_no_more_than_the_budget() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let mut search = Search::new(&file);
        assert_eq!(search.first(0..u64::MAX, &[(b"word", ())]).unwrap(), None);
        assert_eq!(search.left, 0);
    }
}
