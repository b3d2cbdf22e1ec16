// SPDX-License-Identifier: Apache-2.0
//! [`Hook`] (data) → a link in the kernel. The only file that attaches programs.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::thread;

use libbpf_rs::btf::Btf;
use libbpf_rs::{Link, PerfEventOpts, ProgramMut, UprobeMultiOpts, UprobeOpts};
use libbpf_sys::{PERF_TYPE_TRACEPOINT, perf_event_attr};

use crate::code::Place;
use crate::object::{Loaded, ObjectError, has_function, heard};
use crate::pseudofs::{self, Tracefs};
use crate::tracers::{At, Hook, Need};

/// Calls of one function that may be under way at once before return probes miss some. The kernel's own
/// choice, twice the number of CPUs, is less than the threads that wait in one receiving call.
const MAX_ACTIVE: u32 = 1024;
/// Threads that detach.
const DETACHED_AT_ONCE: usize = 16;
/// First letters of the group that names our dynamic probes.
const GROUP: &str = "vor_";
/// `PERF_FLAG_FD_CLOEXEC` of `perf_event_open(2)`.
const FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// Attaches programs, and knows what that takes.
pub(crate) struct Hooks<'a> {
    kernel: &'a Btf<'a>,
    tracefs: io::Result<Rc<Tracefs>>,
}

/// A program in its place, until dropped. The fields are dropped in this order: a probe that is in use cannot
/// be removed.
#[derive(Debug)]
pub(crate) struct Attached {
    /// None for a program that ends with its map.
    _link: Option<Link>,
    _probe: Option<Probe>,
}

impl<'a> Hooks<'a> {
    pub(crate) fn new(kernel: &'a Btf<'a>) -> Self {
        Self { kernel, tracefs: Tracefs::open().map(Rc::new) }
    }

    /// Attaches one program. `None`: it is optional, and the kernel does not have the place.
    pub(crate) fn attach(
        &self,
        object: &Loaded,
        hook: &Hook,
    ) -> Result<Option<Attached>, ObjectError> {
        let program = object.program(hook.program)?;
        if hook.need == Need::Optional && !self.has(&program, hook.at) {
            return Ok(None);
        }
        heard(|| self.link(object, &program, hook)).map(Some).map_err(|(error, log)| {
            ObjectError::Attach { program: hook.program, error: error.to_string(), log }
        })
    }

    fn has(&self, program: &ProgramMut<'_>, at: At) -> bool {
        match at {
            // Decided when the object was loaded.
            At::Section => program.autoload(),
            At::Cgroup | At::Sockhash { .. } => true,
            At::Tracepoint { category, event } => {
                self.tracefs().is_ok_and(|tracefs| tracefs.id(category, event).is_ok())
            }
            At::Kprobe(function) | At::Kretprobe(function) => has_function(self.kernel, function),
        }
    }

    fn link(&self, object: &Loaded, program: &ProgramMut<'_>, hook: &Hook) -> io::Result<Attached> {
        match hook.at {
            At::Section => plain(program.attach().map_err(|error| said(&error))?),
            At::Tracepoint { category, event } => {
                plain(at_tracepoint(program, self.tracefs()?.id(category, event)?, hook.tag)?)
            }
            At::Kprobe(function) => {
                plain(program.attach_kprobe(false, function).map_err(|error| said(&error))?)
            }
            At::Cgroup => {
                let root = pseudofs::cgroups().map_err(|error| {
                    io::Error::other(format!("no control groups of version 2: {error}"))
                })?;
                plain(program.attach_cgroup(root.as_raw_fd()).map_err(|error| said(&error))?)
            }
            At::Kretprobe(function) => {
                let probe = Probe::at_return(Rc::clone(self.tracefs()?), hook.program, function)?;
                let link = at_tracepoint(program, probe.id()?, hook.tag)?;
                Ok(Attached { _link: Some(link), _probe: Some(probe) })
            }
            At::Sockhash { map, known, trial } => {
                let of = |name| object.map(name).map_err(io::Error::other);
                let (map, known) = (of(map)?, of(known)?);
                program.attach_sockmap(map.as_fd().as_raw_fd()).map_err(|error| said(&error))?;
                trial(&known).map_err(io::Error::other)?;
                Ok(Attached { _link: None, _probe: None })
            }
        }
    }

    fn tracefs(&self) -> io::Result<&Rc<Tracefs>> {
        self.tracefs.as_ref().map_err(|error| io::Error::other(format!("no tracefs: {error}")))
    }
}

/// What is certain not to be attached is not worth loading, which takes the verifier a while.
pub(crate) fn ask(hooks: &[Hook]) -> Result<(), ObjectError> {
    let in_kernel = |hook: &&Hook| matches!(hook.at, At::Kprobe(_) | At::Kretprobe(_));
    let Some(hook) = hooks.iter().find(in_kernel) else { return Ok(()) };
    pseudofs::has_kprobes().map_err(|error| ObjectError::Attach {
        program: hook.program,
        error: error.to_string(),
        log: Vec::new(),
    })
}

/// Attaches programs to places of the file at `path`, which has number `file`. All of them, or none.
pub(crate) fn attach_code(
    object: &Loaded,
    path: &Path,
    places: &[Place],
    file: u32,
) -> Result<Vec<Link>, ObjectError> {
    let mut of_program = BTreeMap::<_, Vec<_>>::new();
    for place in places {
        of_program.entry((place.program, place.at_return)).or_default().push(place);
    }
    let mut links = Vec::new();
    for ((name, at_return), places) in of_program {
        let program = object.program(name)?;
        let attach = || {
            if object.multi() {
                links.push(at_places(&program, path, &places, at_return, file)?);
            } else {
                for place in &places {
                    links.push(at_place(&program, path, place, file)?);
                }
            }
            Ok(())
        };
        heard(attach).map_err(|(error, log): (libbpf_rs::Error, _)| ObjectError::Attach {
            program: name,
            error: said(&error).to_string(),
            log,
        })?;
    }
    Ok(links)
}

/// Takes programs out of their places, several at once: for each, the kernel waits until no CPU runs it any more.
pub(crate) fn detach(links: &mut Vec<Link>) {
    let share = links.len().div_ceil(DETACHED_AT_ONCE).max(1);
    thread::scope(|scope| {
        while !links.is_empty() {
            let some = links.split_off(links.len().saturating_sub(share));
            // Without a thread they are dropped here.
            let _ = thread::Builder::new().spawn_scoped(scope, move || drop(some));
        }
    });
}

/// One link for many places (6.6).
fn at_places(
    program: &ProgramMut<'_>,
    path: &Path,
    places: &[&Place],
    at_return: bool,
    file: u32,
) -> libbpf_rs::Result<Link> {
    let offset = |place: &&Place| usize::try_from(place.offset).unwrap_or(usize::MAX);
    let options = UprobeMultiOpts {
        offsets: places.iter().map(offset).collect(),
        cookies: places.iter().map(|place| place.cookie(file)).collect(),
        retprobe: at_return,
        ..UprobeMultiOpts::default()
    };
    program.attach_uprobe_multi_with_opts(-1, path, "", options)
}

/// One link for one place.
fn at_place(
    program: &ProgramMut<'_>,
    path: &Path,
    place: &Place,
    file: u32,
) -> libbpf_rs::Result<Link> {
    let offset = usize::try_from(place.offset).unwrap_or(usize::MAX);
    let options = UprobeOpts {
        cookie: place.cookie(file),
        retprobe: place.at_return,
        ..UprobeOpts::default()
    };
    program.attach_uprobe_with_opts(-1, path, offset, options)
}

/// The whole of libbpf's error: what it was doing, and the kernel's word.
fn said(error: &libbpf_rs::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}

#[expect(clippy::unnecessary_wraps, reason = "an arm of a match whose other arms can fail")]
fn plain(link: Link) -> io::Result<Attached> {
    Ok(Attached { _link: Some(link), _probe: None })
}

/// Attaches to a tracepoint by its number: libbpf would look for tracefs at its usual mount points only.
fn at_tracepoint(program: &ProgramMut<'_>, id: u64, tag: u32) -> io::Result<Link> {
    let event = perf_event(id)?.into_raw_fd();
    let options = PerfEventOpts { cookie: tag.into(), ..PerfEventOpts::default() };
    program.attach_perf_event_with_opts(event, options).map_err(|error| {
        // SAFETY: `event` came from `into_raw_fd` above; libbpf takes it over only when it succeeds.
        drop(unsafe { OwnedFd::from_raw_fd(event) });
        said(&error)
    })
}

/// The event that stands for tracepoint `id` on all CPUs: a program attached to one is run for each.
fn perf_event(id: u64) -> io::Result<OwnedFd> {
    // SAFETY: all zero is a valid value of this struct of numbers, and means "no option".
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.type_ = PERF_TYPE_TRACEPOINT;
    attr.size = u32::try_from(mem::size_of::<perf_event_attr>()).map_err(io::Error::other)?;
    attr.config = id;
    // SAFETY: the kernel reads `attr.size` bytes of `attr`, which outlives the call.
    let fd =
        unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, FD_CLOEXEC) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A dynamic probe at a function's return, in tracefs because only there the number of calls under way can be
/// chosen. Removed when dropped.
#[derive(Debug)]
struct Probe {
    tracefs: Rc<Tracefs>,
    group: String,
    event: String,
}

impl Probe {
    fn at_return(tracefs: Rc<Tracefs>, program: &str, function: &str) -> io::Result<Self> {
        let group = format!("{GROUP}{}", std::process::id());
        let event = format!("{program}_{function}");
        tracefs.write_kprobe(&format!("r{MAX_ACTIVE}:{group}/{event} {function}\n"))?;
        Ok(Self { tracefs, group, event })
    }

    fn id(&self) -> io::Result<u64> {
        self.tracefs.id(&self.group, &self.event)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let line = format!("-:{}/{}\n", self.group, self.event);
        if let Err(error) = self.tracefs.write_kprobe(&line) {
            tracing::warn!(probe = %line.trim(), %error, "not removed");
        }
    }
}

/// Removes what an earlier vor that was killed has left behind. The kernel keeps what is still in use.
pub(crate) fn remove_leftovers() {
    let Ok(tracefs) = Tracefs::open() else { return };
    let Ok(probes) = tracefs.kprobes() else { return };
    for name in probes.lines().filter_map(leftover) {
        if tracefs.write_kprobe(&format!("-:{name}\n")).is_ok() {
            tracing::debug!(probe = name, "removed a probe that was left behind");
        }
    }
}

/// The name `GROUP/EVENT` in a line of `kprobe_events`, if the probe is a vor's: `r1024:vor_7/name function`.
fn leftover(line: &str) -> Option<&str> {
    let (_, named) = line.split_once(':')?;
    let name = named.split_whitespace().next()?;
    let pid = name.strip_prefix(GROUP)?.split('/').next()?;
    pid.parse::<u32>().is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_of_a_vor_are_leftovers() {
        assert_eq!(leftover("r1024:vor_7/sent_f inet_sendmsg"), Some("vor_7/sent_f"));
        for line in ["p:kprobes/p_do_exit do_exit", "r4:vor_x/y z", "", "p:voracious/y z"] {
            assert_eq!(leftover(line), None, "{line}");
        }
    }
}
