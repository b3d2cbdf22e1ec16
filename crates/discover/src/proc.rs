// SPDX-License-Identifier: Apache-2.0
//! One process as `/proc` shows it now. Whatever cannot be read is absent: a process may end between any
//! two reads.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use procfs::process::{FDTarget, MMapPath, Process};
use procfs::{ProcError, ProcResult};
use vor_model::ProcessKey;

/// What the kernel adds to the path of a program whose file is gone.
const DELETED: &[u8] = b" (deleted)";

/// Flag of a kernel thread in field 9 of `/proc/PID/stat` (`PF_KTHREAD`, `linux/sched.h`).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Who a process is and what it runs.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) key: ProcessKey,
    pub(crate) ppid: u32,
    pub(crate) exe: Arc<Path>,
}

/// Why a process cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// It ended, or it has no program: a kernel thread, a process that is just starting in a container.
    Absent,
    /// It belongs to somebody else.
    Forbidden,
}

impl From<ProcError> for Unseen {
    fn from(error: ProcError) -> Self {
        match error {
            ProcError::PermissionDenied(_) => Self::Forbidden,
            ProcError::NotFound(_)
            | ProcError::Incomplete(_)
            | ProcError::Io(..)
            | ProcError::Other(_)
            | ProcError::InternalError(_) => Self::Absent,
        }
    }
}

/// The pids that exist.
pub(crate) fn pids() -> ProcResult<Vec<u32>> {
    let pids = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.collect())
}

/// Who `pid` is and what it runs.
pub(crate) fn seen(pid: u32) -> Result<Seen, Unseen> {
    let process = open(pid).ok_or(Unseen::Absent)?;
    let stat = process.stat()?;
    if stat.flags & KERNEL_THREAD != 0 {
        return Err(Unseen::Absent);
    }
    let exe = process.exe()?.into_os_string().into_vec();
    let exe = exe.strip_suffix(DELETED).unwrap_or(&exe);
    // The path is "/" while a container's first program is not there yet.
    if exe == b"/" || exe.is_empty() {
        return Err(Unseen::Absent);
    }
    Ok(Seen {
        key: key_of(pid, stat.starttime),
        ppid: u32::try_from(stat.ppid).unwrap_or(0),
        exe: Arc::from(Path::new(OsStr::from_bytes(exe))),
    })
}

/// The key of the process `pid`, while it exists.
pub(crate) fn key(pid: u32) -> Option<ProcessKey> {
    open(pid)?.stat().ok().map(|stat| key_of(pid, stat.starttime))
}

/// Field 22 of `/proc/PID/stat` is the kernel's `start_boottime` divided by the length of a clock tick, and
/// [`ProcessKey::new`] cuts to whole ticks what the kernel side reads from the same field: both name a process
/// alike. (In a time namespace of its own vor would see the field shifted; the kernel side would not.)
fn key_of(pid: u32, ticks: u64) -> ProcessKey {
    let tick_ns = 1_000_000_000 / procfs::ticks_per_second().max(1);
    ProcessKey::new(pid, ticks.saturating_mul(tick_ns))
}

/// The container that `pid` is in.
pub(crate) fn container(pid: u32) -> Option<Arc<str>> {
    crate::container::id(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// The environment `pid` was started with.
pub(crate) fn environment(pid: u32) -> Option<Environment> {
    open(pid)?.environ().ok().map(Environment)
}

/// Paths of the files `pid` has mapped, one after the other; a file may occur several times.
pub(crate) fn mapped(pid: u32) -> Vec<PathBuf> {
    let Some(maps) = open(pid).and_then(|process| process.maps().ok()) else { return Vec::new() };
    let paths = maps.into_iter().filter_map(|map| match map.pathname {
        MMapPath::Path(path) => Some(path),
        _ => None,
    });
    paths.collect()
}

/// Inodes of the sockets `pid` has open.
pub(crate) fn sockets(pid: u32) -> Vec<u64> {
    let Some(fds) = open(pid).and_then(|process| process.fd().ok()) else { return Vec::new() };
    let inodes = fds.filter_map(|fd| match fd.ok()?.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    });
    inodes.collect()
}

fn open(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

/// Variables of a process.
#[derive(Debug, Default)]
pub(crate) struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// The value of `name`, when it is set to something readable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(OsStr::new(name))?.to_str().map(str::trim).filter(|value| !value.is_empty())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }
}
