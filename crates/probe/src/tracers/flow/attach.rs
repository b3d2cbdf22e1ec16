// SPDX-License-Identifier: Apache-2.0
//! Programs at interfaces. The only file that attaches them there; all of it acts in the namespace that its
//! thread is in.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::{TC_EGRESS, TC_INGRESS, TcHook, TcHookBuilder};
use libbpf_sys::{BPF_F_BEFORE, BPF_TCX_EGRESS, BPF_TCX_INGRESS, bpf_link_create_opts};

use super::config::{Backend, Direction, Source};
use super::links::Links;

/// Filters of this priority are run first.
const PRIORITY: u32 = 1;
/// Handles of our filters: this, and the pid of the vor that made them.
const HANDLE: u32 = 0xb000_0000;
const PID_BITS: u32 = (1 << 22) - 1;
/// Where filters hang: `TC_H_CLSACT` with `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`.
const PARENTS: [u32; 2] = [0xffff_fff2, 0xffff_fff3];

/// A program at an interface, until dropped.
#[derive(Debug)]
pub(super) enum Attached {
    /// A packet socket, whose filter is the program.
    Socket { _socket: OwnedFd },
    /// A link: the kernel takes it away with its interface or with us.
    Link { _link: OwnedFd },
    /// A filter of clsact, which stays until it is removed.
    Filter(Filter),
}

/// A filter at one side of an interface.
#[derive(Debug)]
pub(super) struct Filter {
    hook: TcHook,
}

/// How programs are attached.
#[derive(Debug)]
pub(super) struct Attacher {
    pub(super) source: Source,
    pub(super) direction: Direction,
    /// What [`Backend::Auto`] turned out to mean.
    pub(super) backend: Backend,
}

impl Attacher {
    /// Attaches the programs for packets that come in and that go out.
    pub(super) fn attach(
        &mut self,
        index: u32,
        [ingress, egress]: [BorrowedFd<'_>; 2],
    ) -> io::Result<Vec<Attached>> {
        let index = i32::try_from(index).map_err(io::Error::other)?;
        if self.source == Source::SocketFilter {
            return Ok(vec![socket(index, ingress)?]);
        }
        let mut attached = Vec::with_capacity(2);
        if self.direction != Direction::Egress {
            attached.push(self.attach_tc(index, ingress, BPF_TCX_INGRESS)?);
        }
        if self.direction != Direction::Ingress {
            match self.attach_tc(index, egress, BPF_TCX_EGRESS) {
                Ok(program) => attached.push(program),
                Err(error) => {
                    // Both or none.
                    attached.into_iter().try_for_each(Attached::remove)?;
                    return Err(error);
                }
            }
        }
        Ok(attached)
    }

    fn attach_tc(
        &mut self,
        index: i32,
        program: BorrowedFd<'_>,
        side: libbpf_sys::bpf_attach_type,
    ) -> io::Result<Attached> {
        match self.backend {
            Backend::Tc => filter(index, program, side),
            Backend::Tcx => link(index, program, side),
            Backend::Auto => match link(index, program, side) {
                // A kernel before 6.6 does not know such links.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    let attached = filter(index, program, side)?;
                    self.backend = Backend::Tc;
                    Ok(attached)
                }
                Err(error) => Err(error),
                Ok(attached) => {
                    self.backend = Backend::Tcx;
                    Ok(attached)
                }
            },
        }
    }
}

/// First in the list, so that no other program decides about a packet before it is counted.
fn link(
    index: i32,
    program: BorrowedFd<'_>,
    side: libbpf_sys::bpf_attach_type,
) -> io::Result<Attached> {
    // SAFETY: all zero is a valid value of this struct of numbers and unions of them, and means "no option".
    let mut options: bpf_link_create_opts = unsafe { MaybeUninit::zeroed().assume_init() };
    options.sz = size_of::<bpf_link_create_opts>().try_into().map_err(io::Error::other)?;
    options.flags = BPF_F_BEFORE;
    // SAFETY: the kernel reads `options`, which outlives the call.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), index, side, &raw const options)
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel has just given this descriptor to us.
    Ok(Attached::Link { _link: unsafe { OwnedFd::from_raw_fd(fd) } })
}

fn filter(
    index: i32,
    program: BorrowedFd<'_>,
    side: libbpf_sys::bpf_attach_type,
) -> io::Result<Attached> {
    let point = if side == BPF_TCX_INGRESS { TC_INGRESS } else { TC_EGRESS };
    let handle = HANDLE | (std::process::id() & PID_BITS);
    let mut builder = TcHookBuilder::new(program);
    builder.ifindex(index).replace(true).handle(handle).priority(PRIORITY);
    let mut hook = builder.hook(point);
    let attached = hook.create().and_then(|mut hook| hook.attach());
    Ok(Attached::Filter(Filter { hook: attached.map_err(|error| said(&error))? }))
}

impl Attached {
    /// Takes it away. A filter would stay when it is only dropped.
    pub(super) fn remove(self) -> io::Result<()> {
        match self {
            Self::Filter(mut filter) => filter.hook.detach().map_err(|error| said(&error)),
            Self::Socket { .. } | Self::Link { .. } => Ok(()),
        }
    }

    /// Whether it needs to be removed.
    pub(super) const fn stays(&self) -> bool {
        matches!(self, Self::Filter(_))
    }
}

/// Removes filters of vors that were killed.
pub(super) fn remove_leftovers(links: &Links, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    for (parent, point) in PARENTS.into_iter().zip([TC_INGRESS, TC_EGRESS]) {
        // An interface without clsact has no filters.
        let Ok(handles) = links.filters(index, parent) else { continue };
        for handle in handles.into_iter().filter(|handle| is_leftover(*handle)) {
            // SAFETY: no descriptor is used to remove a filter; the builder only wants one.
            let none = unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) };
            let mut builder = TcHookBuilder::new(none);
            builder.ifindex(index).handle(handle).priority(PRIORITY);
            match builder.hook(point).detach() {
                Ok(()) => tracing::info!(index, "removed a filter that was left behind"),
                Err(error) => tracing::debug!(index, %error, "a filter left behind stays"),
            }
        }
    }
    Ok(())
}

/// Removes clsact where nobody has a filter any more.
pub(super) fn remove_empty(links: &Links, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    for parent in PARENTS {
        if !links.filters(index, parent)?.is_empty() {
            return Ok(());
        }
    }
    // SAFETY: as above.
    let none = unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) };
    let mut builder = TcHookBuilder::new(none);
    builder.ifindex(index);
    builder.hook(TC_INGRESS | TC_EGRESS).destroy().map_err(|error| said(&error))
}

fn is_leftover(handle: u32) -> bool {
    let pid = handle & PID_BITS;
    handle & !PID_BITS == HANDLE && !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// A socket that the kernel shows each packet of the interface, and that takes none.
fn socket(index: i32, program: BorrowedFd<'_>) -> io::Result<Attached> {
    // SAFETY: a system call without pointers. Protocol 0: nothing comes before `bind`.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let program = program.as_raw_fd();
    let len = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `len` bytes of `program`, which outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_BPF,
            (&raw const program).cast(),
            len,
        )
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    bind(&socket, index)?;
    Ok(Attached::Socket { _socket: socket })
}

fn bind(socket: &OwnedFd, index: i32) -> io::Result<()> {
    // SAFETY: all zero is a valid value of this struct of numbers.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be();
    address.sll_ifindex = index;
    let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `len` bytes of `address`, which outlives the call.
    if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn said(error: &libbpf_rs::Error) -> io::Error {
    // A kind without a number would lose the kernel's word.
    io::Error::other(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filters_of_a_vor_that_is_gone_are_leftovers() {
        assert!(!is_leftover(HANDLE | std::process::id()));
        assert!(!is_leftover(1));
        assert!(is_leftover(HANDLE | PID_BITS), "no process has the highest pid");
    }
}
