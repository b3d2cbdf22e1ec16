// SPDX-License-Identifier: Apache-2.0
//! Passing over bodies (RFC 9112, sections 6 and 7).

use crate::cursor::Cursor;

/// The bytes of one direction in one exchange: those captured, and how many more passed after them.
pub(super) struct Run<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) unseen: u64,
}

impl<'a> Run<'a> {
    /// `bytes`, which end with `captured` of the `len` that passed.
    pub(super) fn new(bytes: &'a [u8], captured: usize, len: u64) -> Self {
        let captured = u64::try_from(captured).unwrap_or(u64::MAX);
        Self { cursor: Cursor::new(bytes), unseen: len.saturating_sub(captured) }
    }

    fn skip(&mut self, len: u64) -> u64 {
        let captured = self.cursor.skip(len);
        let unseen = (len - captured).min(self.unseen);
        self.unseen -= unseen;
        captured + unseen
    }
}

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, from here on.
    Chunked(Chunk),
    /// Whatever comes before the next head.
    Unknown,
}

/// A place in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size, which is this so far.
    Size(u64),
    /// After the size, before the end of its line.
    Extension(u64),
    /// So many bytes before the end of the chunk.
    Content(u64),
    /// In the line end after a chunk.
    End,
    /// At the start of a trailer line.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
}

impl Body {
    /// Chunks from the first one on.
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size(0));

    /// Passes over what `run` has of the body; says how many bytes of content that was, and what is still to come.
    /// Of chunks that were not captured, everything counts as content.
    pub(super) fn pass(self, run: &mut Run<'_>) -> (u64, Option<Self>) {
        match self {
            Self::Length(left) => {
                let passed = run.skip(left);
                (passed, (passed < left).then_some(Self::Length(left - passed)))
            }
            Self::Chunked(chunk) => match chunk.pass(&mut run.cursor) {
                (content, None) => (content, None),
                (content, Some(Self::Chunked(chunk))) if run.unseen == 0 => {
                    (content, Some(Self::Chunked(chunk)))
                }
                // The end may be among what was not captured.
                (content, Some(_)) => {
                    (content.saturating_add(run.skip(u64::MAX)), Some(Self::Unknown))
                }
            },
            Self::Unknown => (run.skip(u64::MAX), Some(Self::Unknown)),
        }
    }
}

impl Chunk {
    /// Follows the chunks in `cursor`: how many bytes of content there are, and what is still to come.
    fn pass(mut self, cursor: &mut Cursor<'_>) -> (u64, Option<Body>) {
        let mut content = 0;
        loop {
            if let Self::Content(left) = self {
                let passed = cursor.skip(left);
                content += passed;
                self = if passed < left { Self::Content(left - passed) } else { Self::End };
            }
            let Ok(byte) = cursor.u8("chunk") else {
                return (content, Some(Body::Chunked(self)));
            };
            self = match (self, byte) {
                (Self::TrailerStart, b'\n') => return (content, None),
                (Self::Size(size) | Self::Extension(size), b'\n') => match size {
                    0 => Self::TrailerStart,
                    size => Self::Content(size),
                },
                (Self::End, b'\n') => Self::Size(0),
                (Self::Trailer, b'\n') => Self::TrailerStart,
                (same @ (Self::Size(_) | Self::End | Self::TrailerStart), b'\r')
                | (same @ Self::Extension(_), _) => same,
                (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(size),
                (Self::Size(size), digit) => match grow(size, digit) {
                    Some(size) => Self::Size(size),
                    None => return (content, Some(Body::Unknown)),
                },
                (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
                (Self::Content(_) | Self::End, _) => return (content, Some(Body::Unknown)),
            };
        }
    }
}

/// `size` with one more hexadecimal digit.
fn grow(size: u64, digit: u8) -> Option<u64> {
    let digit = char::from(digit).to_digit(16)?;
    size.checked_mul(16)?.checked_add(digit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: &[u8] = b"4;x=\"1\"\r\nWiki\r\n0A \r\n0123456789\r\n0\r\nDigest: x\r\n\r\n";

    #[test]
    fn chunks_are_followed_to_their_end_wherever_they_are_split() {
        for at in 0..CHUNKS.len() {
            let (first, second) = CHUNKS.split_at(at);
            let (before, rest) = Body::CHUNKED.pass(&mut Run::new(first, 0, 0));
            let glued = [second, b"GET"].concat();
            let mut run = Run::new(&glued, 0, 0);
            let (after, end) = rest.unwrap().pass(&mut run);
            assert_eq!((before + after, end), (14, None), "split at {at}");
            assert_eq!(run.cursor.rest(), b"GET");
        }
    }

    #[test]
    fn of_chunks_that_were_not_captured_the_end_is_unknown() {
        let mut run = Run::new(b"ff\r\nabc", 7, 607);
        assert_eq!(Body::CHUNKED.pass(&mut run), (603, Some(Body::Unknown)));
        assert_eq!((run.cursor.is_empty(), run.unseen), (true, 0));
    }

    #[test]
    fn nonsense_and_endless_sizes_pass_as_unknown() {
        for bytes in [&b"xyz"[..], b"fffffffffffffffff\r\n", b"1\r\nabc"] {
            let mut run = Run::new(bytes, 0, 0);
            assert_eq!(Body::CHUNKED.pass(&mut run).1, Some(Body::Unknown));
        }
    }

    #[test]
    fn a_length_counts_what_was_not_captured_too() {
        let mut run = Run::new(b"abc", 3, 10);
        assert_eq!(Body::Length(12).pass(&mut run), (10, Some(Body::Length(2))));
        let mut run = Run::new(b"abcGET", 6, 6);
        assert_eq!(Body::Length(3).pass(&mut run), (3, None));
        assert_eq!(run.cursor.rest(), b"GET");
    }
}
