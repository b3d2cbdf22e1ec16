// SPDX-License-Identifier: Apache-2.0
//! How a Go program was built: the block that the Go linker writes for `go version` (package
//! debug/buildinfo of the Go distribution).

/// First bytes of the block, which stands at a multiple of 16.
pub(crate) const MAGIC: &[u8] = b"\xff Go buildinf:";

/// Bytes of the block that are read: its header and a version.
pub(crate) const BLOCK_BYTES: u64 = 128;

const HEADER: usize = 32;
const FLAGS: usize = 15;
/// Strings follow the header, each with its length in front (Go 1.18 and later).
const INLINE: u8 = 2;

/// What is known of a Go build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoBuild {
    /// The toolchain (`go1.25.1`), where the program says it in the form of Go 1.18 and later.
    pub version: Option<String>,
}

/// The toolchain that a block names.
pub(crate) fn version(block: &[u8]) -> Option<String> {
    if !block.starts_with(MAGIC) || block.get(FLAGS)? & INLINE == 0 {
        return None;
    }
    // A varint of one byte: no version is longer than 127 bytes.
    let (&len, rest) = block.get(HEADER..)?.split_first()?;
    let text = std::str::from_utf8(rest.get(..usize::from(len))?).ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (len < 0x80 && plain && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_an_inline_block_only() {
        let mut block = [MAGIC, &[8, INLINE]].concat();
        block.resize(HEADER, 0);
        block.extend_from_slice(b"\x08go1.25.1\x00more");
        assert_eq!(version(&block).as_deref(), Some("go1.25.1"));
        assert_eq!(version(&block[..36]), None);
        block[FLAGS] = 0;
        assert_eq!(version(&block), None);
        assert_eq!(version(b""), None);
    }
}
