// SPDX-License-Identifier: Apache-2.0
//! With what a Go program was built, in full: toolchain, modules, what replaces them, settings.

use super::GoError;
use super::block::{self, plain};
use super::image::Image;

/// Bytes of a block that are read: a hundred bytes a module, for thousands of them.
const MAX_BLOCK: u64 = 1 << 20;
/// How far into each segment the block is looked for when sections are gone, and what its place is a multiple of.
const SEARCH: u64 = 64 << 20;
const ALIGN: u64 = 16;
const MAX_MODULES: usize = 8192;

/// With what a program was built; empty where it does not say so (Go 1.17 and earlier, or not at all).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Build {
    /// The toolchain, such as `go1.25.1`; a development or changed one has more words.
    pub toolchain: Option<String>,
    /// The package of `main`.
    pub package: Option<String>,
    /// The main module.
    pub main: Option<Module>,
    /// All others that are linked in.
    pub modules: Vec<Module>,
    /// Settings of the build by name (`-tags`, `CGO_ENABLED`, `GOARCH` …).
    pub settings: Vec<(String, String)>,
}

/// A module that is linked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The path by which it is imported.
    pub path: String,
    /// Its version as it was asked for.
    pub version: String,
    /// Whether its content is proven: the build recorded a checksum. Not so for the main module and for
    /// vendored ones, in which anything may have been changed.
    pub proven: bool,
    /// What stands in for it: a fork, another version or a folder.
    pub replaced_by: Option<Box<Module>>,
}

impl Build {
    /// The module that holds a package, replaced or not. None for the standard library.
    #[must_use]
    pub fn module_of(&self, package: &str) -> Option<&Module> {
        let holds = |module: &&Module| {
            let rest = package.strip_prefix(&module.path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.main.iter().chain(&self.modules).filter(holds).max_by_key(|module| module.path.len())
    }

    /// A setting's value.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the block of a program.
pub(super) fn read(image: &Image<'_>) -> Result<Build, GoError> {
    if let Some(section) = image.section(&[".go.buildinfo"]) {
        let size = (section.bytes.end - section.bytes.start).min(MAX_BLOCK);
        let bytes = image.bytes(section.bytes.start, usize::try_from(size).unwrap_or(0))?;
        return Ok(parse(&bytes));
    }
    let found = image.search(block::MAGIC, SEARCH, |at| {
        let bytes = image.bytes(at, usize::try_from(MAX_BLOCK).unwrap_or(0))?;
        Ok(Some(parse(&bytes)).filter(|build| at % ALIGN == 0 && build.toolchain.is_some()))
    })?;
    Ok(found.unwrap_or_default())
}

/// What a block says.
pub(super) fn parse(bytes: &[u8]) -> Build {
    let Some((version, lines)) = block::split(bytes) else { return Build::default() };
    let mut build = Build { toolchain: plain(version), ..Build::default() };
    for line in lines.split(|&byte| byte == b'\n').take(2 * MAX_MODULES) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut words = line.split('\t');
        match words.next() {
            Some("path") => build.package = words.next().map(str::to_owned),
            Some("mod") => build.main = module(words),
            Some("dep") => build.modules.extend(module(words)),
            Some("=>") => {
                // Stands behind the module that it replaces.
                let replaced = build.modules.last_mut().or(build.main.as_mut());
                if let Some(replaced) = replaced {
                    replaced.replaced_by = module(words).map(Box::new);
                }
            }
            Some("build") => {
                let setting = words.next().and_then(|setting| setting.split_once('='));
                build.settings.extend(setting.map(|(name, value)| (name.into(), value.into())));
            }
            _ => {}
        }
    }
    build
}

fn module<'w>(mut words: impl Iterator<Item = &'w str>) -> Option<Module> {
    let path = words.next().filter(|path| !path.is_empty())?.to_owned();
    let version = words.next().unwrap_or_default().to_owned();
    let proven = words.next().is_some_and(|sum| sum.starts_with("h1:"));
    Some(Module { path, version, proven, replaced_by: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "0123456789abcdef\
        path\texample.org/shop/cmd\n\
        mod\texample.org/shop\t(devel)\t\n\
        dep\tgithub.com/IBM/sarama\tv1.45.1\th1:abc=\n\
        dep\tgoogle.golang.org/grpc\tv1.60.0\n\
        =>\texample.org/fork/grpc\tv1.60.1-fork\th1:def=\n\
        dep\tgolang.org/x/net\tv0.30.0\n\
        build\t-tags=a,b\n\
        build\tCGO_ENABLED=0\n";

    fn block(lines: &str) -> Vec<u8> {
        let mut block = b"\xff Go buildinf:\x08\x02".to_vec();
        block.resize(32, 0);
        block.extend_from_slice(b"\x08go1.25.1");
        let length = u32::try_from(lines.len()).unwrap();
        block.extend_from_slice(&[
            u8::try_from(length & 0x7f).unwrap() | 0x80,
            u8::try_from(length >> 7).unwrap(),
        ]);
        block.extend_from_slice(lines.as_bytes());
        block
    }

    #[test]
    fn modules_their_replacements_and_settings_are_read() {
        let build = parse(&block(LINES));
        assert_eq!(build.toolchain.as_deref(), Some("go1.25.1"));
        assert_eq!(build.main.as_ref().unwrap().path, "example.org/shop");
        let grpc = build.module_of("google.golang.org/grpc/internal/transport").unwrap();
        assert_eq!(grpc.replaced_by.as_ref().unwrap().path, "example.org/fork/grpc");
        assert!(!grpc.proven && grpc.replaced_by.as_ref().unwrap().proven);
        assert!(build.module_of("github.com/IBM/sarama").unwrap().proven);
        assert!(!build.module_of("golang.org/x/net/http2").unwrap().proven, "vendored");
        assert_eq!(build.module_of("golang.org/x/network"), None);
        assert_eq!(build.module_of("net/http"), None);
        assert_eq!(build.setting("-tags"), Some("a,b"));
    }

    #[test]
    fn a_block_cut_anywhere_tells_less() {
        let bytes = block(LINES);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).modules.len() <= 3, "{cut}");
        }
    }
}
