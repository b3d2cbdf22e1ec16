// SPDX-License-Identifier: Apache-2.0
//! Files in a JVM's folders that are gone when they have done their work.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatVfsMountFlags, fchmod, fstatvfs, openat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::Refusal;
use super::target::Target;
use crate::runtimes::java::agent::AGENT_NAME;

/// Folders for the agent's file after the JVM's own `TMPDIR`.
const FOLDERS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Bytes of the path that `HotSpot` takes as one argument.
const MAX_PATH: usize = 1000;

/// A file, until dropped.
#[derive(Debug)]
struct Passing {
    folder: OwnedFd,
    name: String,
}

impl Passing {
    /// A new file, open for writing. Only its owner may do with it what `mode` says.
    fn create(folder: OwnedFd, name: String, mode: Mode) -> rustix::io::Result<(Self, OwnedFd)> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &name, flags, mode)?;
        let passing = Self { folder, name };
        // Whatever this process's mask of modes is.
        fchmod(&file, mode)?;
        Ok((passing, file))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // Fails only when the JVM's user was faster.
        let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// The agent's file, until dropped.
#[derive(Debug)]
pub(super) struct Placed {
    /// Its path, as the JVM sees it.
    pub(super) path: PathBuf,
    _file: Passing,
}

impl Placed {
    /// Puts `agent` into the first folder that takes it and lets code be run from it.
    pub(super) fn new(target: &Target, agent: &[u8]) -> Result<Self, Refusal> {
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty()).map_err(Refusal::NoFolder)?;
        let name = format!("{AGENT_NAME}{:016x}.so", u64::from_ne_bytes(random));
        let own = target.temporary().into_iter();
        let mut last = Errno::NOENT;
        for folder in own.chain(FOLDERS.iter().map(Path::new)) {
            match Self::put(target, folder, &name, agent) {
                Ok(placed) => return Ok(placed),
                Err(error) => last = error,
            }
        }
        Err(Refusal::NoFolder(last))
    }

    fn put(target: &Target, folder: &Path, name: &str, agent: &[u8]) -> rustix::io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() > MAX_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        let folder = target.folder(folder)?;
        if fstatvfs(folder.as_fd())?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(Errno::ACCESS);
        }
        let (file, open) = Passing::create(folder, name.to_owned(), Mode::RUSR | Mode::XUSR)?;
        let written = std::fs::File::from(open).write_all(agent);
        written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(Self { path, _file: file })
    }
}

/// The file that tells a JVM what SIGQUIT is about, until dropped.
#[derive(Debug)]
pub(super) struct Trigger(#[allow(dead_code, reason = "it is there while this is")] Passing);

impl Trigger {
    /// In the JVM's working folder, where it looks first, else beside the socket.
    pub(super) fn new(target: &Target) -> Result<Self, Refusal> {
        let name = format!(".attach_pid{}", target.status().nspid);
        let create = |folder| Passing::create(folder, name.clone(), Mode::RUSR | Mode::WUSR);
        let here = target.cwd().try_clone_to_owned();
        let here = here.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let made = match here.and_then(create) {
            // Somebody else's, who sends the signal: a second one would make the JVM list its threads.
            Err(Errno::EXIST) => Err(Errno::EXIST),
            Err(_) => target.socket_folder().and_then(create),
            made => made,
        };
        match made {
            Ok((file, _)) => Ok(Self(file)),
            Err(Errno::EXIST) => Err(Refusal::Busy),
            Err(error) => Err(Refusal::NoFolder(error)),
        }
    }
}
