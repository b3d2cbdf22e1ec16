// SPDX-License-Identifier: Apache-2.0
//! How a Go program was built: the block that the Go linker writes for `go version` (package
//! debug/buildinfo of the Go distribution).

/// First bytes of the block, which stands at a multiple of 16.
pub(crate) const MAGIC: &[u8] = b"\xff Go buildinf:";

/// Bytes of the block that are read: its header, a version and the first lines about modules.
pub(crate) const BLOCK_BYTES: u64 = 2048;

const HEADER: usize = 32;
const FLAGS: usize = 15;
/// Strings follow the header, each with its length in front (Go 1.18 and later).
const INLINE: u8 = 2;
/// Bytes in front of and behind the lines about modules, for the linker's own use.
const FRAME: usize = 16;

/// What is known of a Go build; all of it only where the program says it in the form of Go 1.18 and later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoBuild {
    /// The toolchain (`go1.25.1`).
    pub version: Option<String>,
    /// The main module (`example.org/shop`).
    pub module: Option<String>,
}

/// What a block says, as far as it can be read.
pub(crate) fn read(block: &[u8]) -> GoBuild {
    let Some((version, lines)) = split(block) else { return GoBuild::default() };
    // The lines may go on beyond what is read of the block; the first two are all that is wanted.
    let module = lines.split(|&byte| byte == b'\n').take(2).find_map(|line| {
        let module = line.strip_prefix(b"mod\t")?;
        // Without the tab behind it, the name itself may be cut.
        let end = module.iter().position(|&byte| byte == b'\t')?;
        plain(module.get(..end)?)
    });
    GoBuild { version: plain(version), module }
}

/// The version in a block and the lines about modules, as far as they are there.
pub(super) fn split(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let inline = block.starts_with(MAGIC) && block.get(FLAGS).is_some_and(|f| f & INLINE != 0);
    let (version, rest) = string(block.get(HEADER..).filter(|_| inline)?)?;
    let lines = length(rest).map(|(length, rest)| rest.get(..length).unwrap_or(rest));
    Some((version, lines.and_then(|lines| lines.get(FRAME..)).unwrap_or_default()))
}

/// A varint: seven bits a byte, low bits first. Longer than three bytes is none of ours.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (at, &byte) in bytes.iter().take(3).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, bytes.get(at + 1..)?));
        }
    }
    None
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = length(bytes)?;
    rest.split_at_checked(length)
}

pub(super) fn plain(text: &[u8]) -> Option<String> {
    let plain = text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (plain && !text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut block = [MAGIC, &[8, INLINE]].concat();
        block.resize(HEADER, 0);
        block.extend_from_slice(b"\x08go1.25.1\xac\x02");
        block.extend_from_slice(&[b'0'; FRAME]);
        block.extend_from_slice(
            b"path\texample.org/shop/cmd\nmod\texample.org/shop\t(devel)\t\ndep\t",
        );
        block
    }

    #[test]
    fn version_and_module_are_read_from_an_inline_block_only() {
        let mut bytes = block();
        let build = read(&bytes);
        assert_eq!(build.version.as_deref(), Some("go1.25.1"));
        assert_eq!(build.module.as_deref(), Some("example.org/shop"));
        bytes[FLAGS] = 0;
        assert_eq!(read(&bytes), GoBuild::default());
        assert_eq!(read(b""), GoBuild::default());
    }

    #[test]
    fn a_block_cut_anywhere_tells_less_and_nothing_wrong() {
        let bytes = block();
        for cut in 0..bytes.len() {
            let build = read(&bytes[..cut]);
            assert!(build.version.is_none_or(|version| version == "go1.25.1"), "{cut}");
            assert!(build.module.is_none_or(|module| module == "example.org/shop"), "{cut}");
        }
    }
}
