// SPDX-License-Identifier: Apache-2.0
//! Facts of the files that were read lately, so that a thousand workers of one program cost one reading.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use lru::LruCache;

use crate::file::{self, ExeError, Executable, FileKey};

/// Executables by file, the least recently used forgotten first. A few hundred bytes each.
#[derive(Debug)]
pub struct Executables(LruCache<FileKey, Result<Arc<Executable>, ExeError>>);

impl Executables {
    /// Remembers up to `capacity` files, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(LruCache::new(NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN)))
    }

    /// What the file at `path` tells. A file that is no program is remembered as such; a failure to open or
    /// read it is not.
    pub fn open(&mut self, path: &Path) -> Result<Arc<Executable>, ExeError> {
        let (file, key) = file::open(path)?;
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        let read = Executable::read(&file, key).map(Arc::new);
        if !matches!(read, Err(ExeError::Io(_))) {
            self.0.put(key, read.clone());
        }
        read
    }

    /// How many files are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
