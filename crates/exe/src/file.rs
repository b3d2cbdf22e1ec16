// SPDX-License-Identifier: Apache-2.0
//! Opens a program's file.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::elf::{self, Facts};

/// Identity of a file's content, as far as the kernel tells it without reading: a file that is replaced or
/// rewritten is another one, the same file under another name or in another container is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of content, nanoseconds since 1970.
    pub modified_ns: i128,
}

impl FileKey {
    fn of(meta: &Metadata) -> Self {
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Self { device: meta.dev(), inode: meta.ino(), size: meta.size(), modified_ns }
    }
}

/// A program's file: who it is and what it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Which file.
    pub key: FileKey,
    /// What is in it.
    pub facts: Facts,
}

/// Why a file tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExeError {
    /// The system refused.
    #[error("cannot read the program: {0}")]
    Io(io::ErrorKind),
    /// It is a pipe, a device or a directory.
    #[error("the program is not a regular file")]
    NotAFile,
    /// It is not an ELF file.
    #[error("the program is not an ELF file")]
    NotElf,
    /// It contradicts itself.
    #[error("the program's ELF file is malformed: {0}")]
    Malformed(&'static str),
    /// Its headers ask for more than the budget.
    #[error("the program's ELF headers claim more than is read of any file")]
    TooLarge,
}

impl From<io::Error> for ExeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl Executable {
    /// Reads the file at `path`; `/proc/PID/exe` works for a process in any container, and when the file has
    /// been deleted.
    pub fn open(path: &Path) -> Result<Self, ExeError> {
        let (file, key) = open(path)?;
        Self::read(&file, key)
    }

    /// Reads a file that [`open`] has opened.
    pub fn read(file: &File, key: FileKey) -> Result<Self, ExeError> {
        Ok(Self { key, facts: elf::facts(file)? })
    }
}

/// Opens without waiting for the other end of a pipe.
pub fn open(path: &Path) -> Result<(File, FileKey), ExeError> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(ExeError::NotAFile);
    }
    Ok((file, FileKey::of(&meta)))
}
