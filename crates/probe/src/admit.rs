// SPDX-License-Identifier: Apache-2.0
//! The list of observed processes (`bpf/maps/admit.h`). It lies in the kernel, in the processes themselves, so
//! it needs no cleaning up.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use vor_config::Propagation;
use vor_model::ProcessKey;
use zerocopy::{FromBytes, IntoBytes};

use crate::tracers::wire::{ADMIT_DESCENDANTS, ADMIT_WRITES_HEADERS, ADMIT_WRITES_TCP, Admitted};

/// The map, in every object that asks whether a process is observed.
pub(crate) const MAP: &str = "vor_admit";
/// What `/proc/PID/stat` counts start times in (`USER_HZ`).
const TICK_NS: u64 = 10_000_000;

/// Whether what an observed process starts is observed too, whatever program it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descend {
    /// Children are, until they run another program.
    No,
    /// Yes.
    Yes,
}

impl Descend {
    const fn flags(self) -> u32 {
        match self {
            Self::No => 0,
            Self::Yes => ADMIT_DESCENDANTS,
        }
    }
}

const fn flags(writes: Propagation) -> u32 {
    let headers = if writes.headers { ADMIT_WRITES_HEADERS } else { 0 };
    let tcp = if writes.tcp { ADMIT_WRITES_TCP } else { 0 };
    headers | tcp
}

/// Why a process is not observed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmitError {
    #[error("process {0} is gone")]
    Gone(u32),
    #[error("cannot observe process {pid}: {error}")]
    Kernel { pid: u32, error: libbpf_rs::Error },
}

/// The list.
#[derive(Debug)]
pub(crate) struct Admissions(MapHandle);

impl Admissions {
    pub(crate) const fn new(map: MapHandle) -> Self {
        Self(map)
    }

    /// Observes a process from now on. Its count of exchanges goes on when it is observed already.
    pub(crate) fn admit(
        &self,
        process: ProcessKey,
        descend: Descend,
        writes: Propagation,
    ) -> Result<(), AdmitError> {
        let pidfd = pidfd(process).ok_or(AdmitError::Gone(process.pid))?;
        let mut wanted = Admitted {
            started_ns: process.started.0,
            exchanges: 0,
            flags: descend.flags() | flags(writes),
            runs: 0,
            kind: 0,
            offset: 0,
        };
        match self.write(&pidfd, &wanted, MapFlags::NO_EXIST) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map_err(|error| AdmitError::Kernel { pid: process.pid, error }),
        }
        // The kernel side has admitted it already, as a child of an observed process.
        match self.read(&pidfd) {
            Some(present) if present.flags == wanted.flags => return Ok(()),
            Some(present) => wanted = Admitted { flags: wanted.flags, ..present },
            None => {}
        }
        self.write(&pidfd, &wanted, MapFlags::ANY)
            .map_err(|error| AdmitError::Kernel { pid: process.pid, error })
    }

    /// Observes a process no longer. Nothing happens when it is gone.
    pub(crate) fn retire(&self, process: ProcessKey) {
        let Some(pidfd) = pidfd(process) else { return };
        // Fails only for a process that is not observed.
        let _ = self.0.delete(&pidfd.as_raw_fd().to_ne_bytes());
    }

    /// Exchanges that began in a process since it was admitted.
    pub(crate) fn exchanges(&self, process: ProcessKey) -> Option<u64> {
        self.read(&pidfd(process)?).map(|present| present.exchanges)
    }

    fn read(&self, pidfd: &OwnedFd) -> Option<Admitted> {
        let value = self.0.lookup(&pidfd.as_raw_fd().to_ne_bytes(), MapFlags::ANY).ok()??;
        Admitted::read_from_bytes(&value).ok()
    }

    fn write(&self, pidfd: &OwnedFd, to: &Admitted, flags: MapFlags) -> libbpf_rs::Result<()> {
        self.0.update(&pidfd.as_raw_fd().to_ne_bytes(), to.as_bytes(), flags)
    }
}

/// A descriptor of exactly this process: it is opened first and compared afterwards, so a reuse of the pid in
/// between is seen.
pub(crate) fn pidfd(process: ProcessKey) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let started = started_ticks(process.pid)?.checked_mul(TICK_NS)?;
    (started == process.started.0).then_some(pidfd)
}

/// Field 22 of `/proc/PID/stat` (`proc_pid_stat(5)`).
fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field, the name, may itself have spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use vor_model::Mono;

    use super::*;

    #[test]
    fn a_reused_pid_is_another_process() {
        let pid = std::process::id();
        let started = Mono(started_ticks(pid).unwrap() * TICK_NS);
        assert!(pidfd(ProcessKey { pid, started }).is_some());
        assert!(pidfd(ProcessKey { pid, started: Mono(started.0 - TICK_NS) }).is_none());
    }
}
