// SPDX-License-Identifier: Apache-2.0
//! Network namespaces: which there are, and how to act in one.
//!
//! Whoever holds a namespace open keeps it, and the interfaces in it, alive. So each is held together with a
//! witness: a process in it, or a place where it is mounted. When the last witness is gone, so are we.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A namespace that is held open.
#[derive(Debug)]
pub(super) struct Space {
    /// Its inode number, by which it is known.
    pub(super) id: u32,
    file: File,
    /// `None`: our own, which is there as long as we are.
    witness: Option<PathBuf>,
}

impl Space {
    /// The namespace of this thread.
    pub(super) fn own() -> io::Result<Self> {
        let file = File::open("/proc/thread-self/ns/net")?;
        Ok(Self { id: inode(&file.metadata()?)?, file, witness: None })
    }

    /// The namespace of which `witness` is a file.
    pub(super) fn open(witness: PathBuf) -> io::Result<Self> {
        let file = File::open(&witness)?;
        Ok(Self { id: inode(&file.metadata()?)?, file, witness: Some(witness) })
    }

    /// Whether somebody else still keeps it.
    pub(super) fn is_kept(&self) -> bool {
        self.witness.as_ref().is_none_or(|witness| id(witness).is_ok_and(|id| id == self.id))
    }

    /// Takes another witness.
    pub(super) fn keep_by(&mut self, witness: PathBuf) {
        if self.witness.is_some() {
            self.witness = Some(witness);
        }
    }

    /// Runs `act` in it; this thread is back in `home` after that.
    pub(super) fn within<T>(
        &self,
        home: &Self,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        if self.id == home.id {
            return act();
        }
        self.enter()?;
        let done = act();
        home.enter()?;
        done
    }

    fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// All namespaces that a process is in or that are mounted, each with a witness.
pub(super) fn all() -> io::Result<BTreeMap<u32, PathBuf>> {
    let mut found = BTreeMap::new();
    for mounted in mounted(&fs::read_to_string("/proc/self/mountinfo")?) {
        if let Ok(id) = id(&mounted) {
            found.insert(id, mounted);
        }
    }
    let own = std::process::id();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let witness = PathBuf::from(format!("/proc/{pid}/ns/net"));
        // A process may end at any moment.
        if let Ok(id) = id(&witness)
            && pid != own
        {
            found.entry(id).or_insert(witness);
        }
    }
    Ok(found)
}

fn id(path: &Path) -> io::Result<u32> {
    inode(&fs::metadata(path)?)
}

fn inode(metadata: &fs::Metadata) -> io::Result<u32> {
    u32::try_from(metadata.ino()).map_err(io::Error::other)
}

/// Mount points of network namespaces (`proc_pid_mountinfo(5)`).
fn mounted(mountinfo: &str) -> Vec<PathBuf> {
    let line = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let is = kind.starts_with("nsfs ") && root.starts_with("net:");
        is.then(|| PathBuf::from(point.replace("\\040", " ")))
    };
    mountinfo.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_namespaces_are_found_by_their_kind() {
        let text = "29 1 0:4 net:[4026532281] /run/netns/a\\040b rw shared:9 - nsfs nsfs rw\n\
                    30 1 0:4 mnt:[4026531840] /run/mnt rw - nsfs nsfs rw\n\
                    31 1 0:25 / /run rw,nosuid - tmpfs tmpfs rw\n";
        assert_eq!(mounted(text), [PathBuf::from("/run/netns/a b")]);
    }

    #[test]
    fn the_own_namespace_is_among_all() {
        let own = Space::own().unwrap();
        assert!(own.is_kept());
        assert_eq!(own.within(&own, || Ok(7)).unwrap(), 7);
    }
}
