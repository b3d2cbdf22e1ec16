// SPDX-License-Identifier: Apache-2.0
//! One JVM as `/proc` shows it: who it is, whether it may be asked to load an agent, and its folders.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2, readlinkat,
};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use vor_model::ProcessKey;

use super::Refusal;
use crate::admit::pidfd;

/// What an argument or a variable says when no agent is wanted.
const FORBIDDING: [&str; 2] = ["+DisableAttachMechanism", "-EnableDynamicAgentLoading"];
/// Variables from which JVMs and their launcher take arguments.
const OPTIONS: [&str; 3] = ["JAVA_TOOL_OPTIONS=", "JDK_JAVA_OPTIONS=", "_JAVA_OPTIONS="];
/// Bytes that are read of a process's arguments and of its environment.
const MAX_TEXT: u64 = 1 << 20;
/// Threads that are looked at; the JVM's own come first.
const MAX_THREADS: usize = 256;
/// The JVM's launcher, which leaves signals to it.
const LAUNCHER: &str = "java";
/// The thread that acts on SIGQUIT, as the kernel cuts its name. JDK 8 names no threads.
const DISPATCHER: &str = "Signal Dispatch";
/// Where `HotSpot` has its socket, whatever `TMPDIR` says.
const SOCKET_FOLDER: &str = "/tmp";

/// A process that runs a JVM. What is read here is its own as long as it lives, and fails afterwards: the pid of
/// another process is never used.
#[derive(Debug)]
pub(super) struct Target {
    pid: u32,
    pidfd: OwnedFd,
    /// Its folder in `/proc`.
    proc: OwnedFd,
    root: OwnedFd,
    cwd: OwnedFd,
    status: Status,
    program: PathBuf,
    /// Where it is told to put what is temporary.
    temporary: Option<PathBuf>,
    /// The argument that forbids agents.
    forbidding: Option<&'static str>,
}

/// What `/proc/PID/status` says (`proc_pid_status(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    /// Its number in its own namespace.
    pub(super) nspid: u32,
    /// Its effective ids.
    pub(super) user: u32,
    pub(super) group: u32,
    /// Signals that it handles, from bit 0 for signal 1.
    caught: u64,
    threads: u32,
    /// Whether it is stopped, and signals wait until it goes on.
    stopped: bool,
}

impl Target {
    /// The process, if it is still there and vor may look at it.
    pub(super) fn open(process: ProcessKey) -> Result<Self, Refusal> {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = open(format!("/proc/{}", process.pid), folder, Mode::empty());
        let proc = proc.map_err(|_| Refusal::Gone)?;
        // Had the pid been reused before `proc` was opened, this would find out.
        let pidfd = pidfd(process).ok_or(Refusal::Gone)?;
        let status = status(&proc)?;
        let link = |name| openat(&proc, name, folder, Mode::empty()).map_err(hidden);
        let (root, cwd) = (link("root")?, link("cwd")?);
        let program = readlinkat(&proc, "exe", Vec::new()).map_err(hidden)?;
        let arguments = text(&proc, "cmdline").map_err(|error| hidden_io(&error))?;
        let environment = text(&proc, "environ").map_err(|error| hidden_io(&error))?;
        Ok(Self {
            pid: process.pid,
            program: PathBuf::from(std::ffi::OsStr::from_bytes(program.as_bytes())),
            temporary: temporary(&environment),
            forbidding: forbidding(&arguments, &environment),
            pidfd,
            proc,
            root,
            cwd,
            status,
        })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) const fn status(&self) -> Status {
        self.status
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    pub(super) fn cwd(&self) -> BorrowedFd<'_> {
        self.cwd.as_fd()
    }

    /// The argument that forbids agents, if one does.
    pub(super) const fn forbidding(&self) -> Option<&'static str> {
        self.forbidding
    }

    /// A folder of the process by its path there, never outside its root.
    pub(super) fn folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    }

    /// The folder of its socket.
    pub(super) fn socket_folder(&self) -> rustix::io::Result<OwnedFd> {
        self.folder(Path::new(SOCKET_FOLDER))
    }

    /// The socket at which it takes requests, once it has one.
    pub(super) fn socket(&self) -> Option<OwnedFd> {
        let name = format!(".java_pid{}", self.status.nspid);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let socket = openat(self.socket_folder().ok()?, name, flags, Mode::empty()).ok()?;
        let is_socket = FileType::from_raw_mode(fstat(&socket).ok()?.st_mode) == FileType::Socket;
        is_socket.then_some(socket)
    }

    /// Whether a JVM in it acts on SIGQUIT. It would end anything else.
    pub(super) fn answers_quit(&self) -> bool {
        let Ok(status) = status(&self.proc) else { return false };
        // A child of a JVM is a copy of it with one thread, until it runs a program of its own.
        let launched = status.threads > 1 && self.program.file_name() == Some(LAUNCHER.as_ref());
        status.acts_on(Signal::QUIT) && (launched || self.has_dispatcher())
    }

    fn has_dispatcher(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let threads = openat(&self.proc, "task", flags, Mode::empty()).and_then(Dir::new);
        let Ok(threads) = threads else { return false };
        threads.flatten().take(MAX_THREADS).any(|thread| {
            let name = format!("task/{}/comm", thread.file_name().to_string_lossy());
            text(&self.proc, &name).is_ok_and(|name| name.trim_ascii_end() == DISPATCHER.as_bytes())
        })
    }

    /// Asks its JVM to open the socket. To be called once, when [`Self::answers_quit`].
    pub(super) fn quit(&self) -> rustix::io::Result<()> {
        pidfd_send_signal(&self.pidfd, Signal::QUIT)
    }

    /// Readable when it has ended.
    pub(super) fn end(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Status {
    const fn acts_on(&self, signal: Signal) -> bool {
        !self.stopped && self.caught >> (signal.as_raw() - 1) & 1 == 1
    }
}

/// Whether code of files that have no name any more can be found in processes: tried on this one.
pub(super) fn can_see_nameless() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = maps.split(' ').next().unwrap_or_default();
    File::open(format!("/proc/self/map_files/{range}")).is_ok()
}

/// Who may not look at a process sees no links of it.
fn hidden(error: Errno) -> Refusal {
    match error {
        Errno::NOENT | Errno::SRCH => Refusal::Gone,
        other => Refusal::Hidden(other),
    }
}

fn hidden_io(error: &io::Error) -> Refusal {
    hidden(Errno::from_io_error(error).unwrap_or(Errno::IO))
}

fn text(proc: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let file = openat(proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    File::from(file).take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn status(proc: &OwnedFd) -> Result<Status, Refusal> {
    let text = text(proc, "status").map_err(|error| hidden_io(&error))?;
    parse(&String::from_utf8_lossy(&text)).ok_or(Refusal::Gone)
}

fn parse(status: &str) -> Option<Status> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let effective = |name| line(name)?.split_whitespace().nth(1)?.parse().ok();
    Some(Status {
        nspid: line("NSpid:")?.split_whitespace().next_back()?.parse().ok()?,
        user: effective("Uid:")?,
        group: effective("Gid:")?,
        caught: u64::from_str_radix(line("SigCgt:")?.trim(), 16).ok()?,
        threads: line("Threads:")?.trim().parse().ok()?,
        stopped: line("State:")?.trim_start().starts_with(['T', 't']),
    })
}

fn strings(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split(|byte| *byte == 0)
}

fn temporary(environment: &[u8]) -> Option<PathBuf> {
    let value = strings(environment).find_map(|string| string.strip_prefix(b"TMPDIR="))?;
    let path = Path::new(std::ffi::OsStr::from_bytes(value));
    path.is_absolute().then(|| path.to_owned())
}

fn forbidding(arguments: &[u8], environment: &[u8]) -> Option<&'static str> {
    let options = strings(environment)
        .filter(|string| OPTIONS.iter().any(|name| string.starts_with(name.as_bytes())));
    let mut all = strings(arguments).chain(options).map(String::from_utf8_lossy);
    all.find_map(|said| FORBIDDING.into_iter().find(|word| said.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tjava\nState:\tS (sleeping)\nUid:\t1\t1000\t1\t1\nGid:\t2\t1001\t2\t2\n\
                          NSpid:\t4711\t12\t1\nThreads:\t20\nSigCgt:\t2000000181005cc6\n";

    #[test]
    fn ids_are_effective_and_the_pid_is_that_of_the_innermost_namespace() {
        let status = parse(STATUS).unwrap();
        assert_eq!((status.nspid, status.user, status.group), (1, 1000, 1001));
        assert!(status.acts_on(Signal::QUIT) && !status.acts_on(Signal::KILL));
        for other in [STATUS.replace("5cc6", "5cc2"), STATUS.replace("S (sleeping)", "T (stopped)")]
        {
            assert!(!parse(&other).unwrap().acts_on(Signal::QUIT));
        }
        assert_eq!(parse("NSpid:\t1\n"), None);
    }

    #[test]
    fn an_agent_is_forbidden_by_arguments_and_by_variables_that_give_some() {
        let forbid = |arguments: &str, environment: &str| {
            forbidding(arguments.as_bytes(), environment.as_bytes())
        };
        let attach = Some("+DisableAttachMechanism");
        assert_eq!(forbid("java\0-XX:+DisableAttachMechanism\0Main\0", ""), attach);
        assert_eq!(forbid("java\0-XX:-DisableAttachMechanism\0Main\0", ""), None);
        assert_eq!(
            forbid("java", "JAVA_TOOL_OPTIONS=-Xmx1g -XX:+DisableAttachMechanism\0"),
            attach
        );
        assert_eq!(forbid("java", "NOTE=-XX:+DisableAttachMechanism\0"), None);
        let dynamic = Some("-EnableDynamicAgentLoading");
        assert_eq!(forbid("java\0-XX:-EnableDynamicAgentLoading\0", ""), dynamic);
    }

    #[test]
    fn only_an_absolute_folder_for_temporary_files_counts() {
        assert_eq!(temporary(b"A=1\0TMPDIR=/data/tmp\0"), Some(PathBuf::from("/data/tmp")));
        assert_eq!(temporary(b"TMPDIR=tmp\0"), None);
        assert_eq!(temporary(b"MYTMPDIR=/x\0"), None);
    }
}
