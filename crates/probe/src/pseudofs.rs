// SPDX-License-Identifier: Apache-2.0
//! The kernel's list of tracepoints and dynamic probes, and other files that say what it allows.
//!
//! Where tracefs is mounted that mount is used; otherwise a mount that is attached nowhere, seen by nobody else
//! and gone when its descriptor is closed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Where distributions mount it.
const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The list of dynamic probes, which is also how they are made and removed.
const KPROBES: &str = "kprobe_events";

/// An open tracefs.
#[derive(Debug)]
pub(crate) struct Tracefs(OwnedFd);

impl Tracefs {
    pub(crate) fn open() -> io::Result<Self> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for mount in MOUNTS {
            let Ok(root) = open(mount, directory, Mode::empty()) else { continue };
            if openat(&root, "events", directory, Mode::empty()).is_ok() {
                return Ok(Self(root));
            }
        }
        mount_nowhere("tracefs").map(Self)
    }

    /// The number by which `perf_event_open` knows a tracepoint.
    pub(crate) fn id(&self, category: &str, event: &str) -> io::Result<u64> {
        let path = format!("events/{category}/{event}/id");
        let mut text = String::new();
        self.file(&path, OFlags::RDONLY)?.read_to_string(&mut text)?;
        text.trim().parse().map_err(|_| io::Error::other(format!("{path} is not a number")))
    }

    /// Defined dynamic probes, one per line.
    pub(crate) fn kprobes(&self) -> io::Result<String> {
        let mut text = String::new();
        self.file(KPROBES, OFlags::RDONLY)?.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Defines or removes one dynamic probe (Documentation/trace/kprobetrace.rst).
    pub(crate) fn write_kprobe(&self, line: &str) -> io::Result<()> {
        self.file(KPROBES, OFlags::WRONLY | OFlags::APPEND)?.write_all(line.as_bytes())
    }

    fn file(&self, path: &str, access: OFlags) -> io::Result<File> {
        Ok(openat(&self.0, path, access | OFlags::CLOEXEC, Mode::empty())?.into())
    }
}

/// What `/sys/kernel/security/lockdown` says, whether or not securityfs is mounted there.
pub(crate) fn lockdown() -> io::Result<String> {
    if let Ok(text) = fs::read_to_string("/sys/kernel/security/lockdown") {
        return Ok(text);
    }
    let root = mount_nowhere("securityfs")?;
    let file = openat(&root, "lockdown", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    io::read_to_string(File::from(file))
}

/// Whether the kernel has dynamic probes of its functions. Where sysfs is not mounted it may.
pub(crate) fn has_kprobes() -> io::Result<()> {
    let sources = Path::new("/sys/bus/event_source/devices");
    if sources.exists() && !sources.join("kprobe").exists() {
        return Err(io::Error::other("the kernel is built without CONFIG_KPROBE_EVENTS"));
    }
    Ok(())
}

/// Where the tree of control groups of version 2 is mounted, if it is (`proc_pid_mounts(5)`).
pub(crate) fn cgroups_mounted() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut points = fields.filter_map(|fields| match fields.as_slice() {
        [_, point, "cgroup2", ..] => Some((*point).to_owned()),
        _ => None,
    });
    points.next()
}

/// The root of that tree.
pub(crate) fn cgroups() -> io::Result<OwnedFd> {
    match cgroups_mounted() {
        Some(point) => {
            Ok(open(point, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
        }
        None => mount_nowhere("cgroup2"),
    }
}

/// Mounts a file system of the kernel where nobody else sees it, until the descriptor is closed.
fn mount_nowhere(kind: &str) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_NOSUID;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
