// SPDX-License-Identifier: Apache-2.0
//! A program of somebody else at an interface: it lets every packet pass, and no later program see it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::{TC_EGRESS, TC_INGRESS, TcHook, TcHookBuilder};
use libbpf_sys::{
    BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, BPF_TCX_INGRESS, bpf_insn, bpf_link_create_opts,
};
use vor_probe::flows::Backend;

pub(crate) struct Others {
    program: OwnedFd,
    links: Vec<OwnedFd>,
    filters: Vec<u32>,
}

/// Attaches it to both sides of an interface of this thread's namespace.
pub(crate) fn attach(iface: &str, backend: Backend) -> Others {
    let index = index(iface);
    let program = program();
    let (mut links, mut filters) = (Vec::new(), Vec::new());
    if backend == Backend::Tcx {
        links.extend(
            [BPF_TCX_INGRESS, BPF_TCX_EGRESS].map(|side| link(program.as_fd(), index, side)),
        );
    } else {
        for point in [TC_INGRESS, TC_EGRESS] {
            let mut hook = hook(program.as_fd(), index, point);
            hook.create().unwrap().attach().unwrap();
            filters.push(hook.query().unwrap());
        }
    }
    Others { program, links, filters }
}

/// Asserts that nobody has taken it away.
pub(crate) fn are_there(iface: &str, others: &Others) {
    let index = index(iface);
    let points = [TC_INGRESS, TC_EGRESS];
    for (id, point) in others.filters.iter().zip(points) {
        let mut hook = hook(others.program.as_fd(), index, point);
        assert_eq!(hook.query().unwrap(), *id);
    }
    for link in &others.links {
        // SAFETY: all zero is a valid value of this struct of numbers.
        let mut info: libbpf_sys::bpf_link_info = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut len = u32::try_from(size_of_val(&info)).unwrap();
        // SAFETY: the kernel writes at most `len` bytes into `info`.
        let error = unsafe {
            libbpf_sys::bpf_obj_get_info_by_fd(
                link.as_raw_fd(),
                (&raw mut info).cast(),
                &raw mut len,
            )
        };
        assert_eq!(error, 0);
        // SAFETY: the kernel has filled the variant of this kind of link.
        assert_eq!(i32::try_from(unsafe { info.__bindgen_anon_1.tcx.ifindex }).unwrap(), index);
    }
}

fn index(iface: &str) -> i32 {
    let name = std::ffi::CString::new(iface).unwrap();
    // SAFETY: a string with its closing zero.
    i32::try_from(unsafe { libc::if_nametoindex(name.as_ptr()) }).unwrap()
}

fn hook(program: BorrowedFd<'_>, index: i32, point: libbpf_rs::TcAttachPoint) -> TcHook {
    let mut builder = TcHookBuilder::new(program);
    builder.ifindex(index).handle(1).priority(1);
    builder.hook(point)
}

fn link(program: BorrowedFd<'_>, index: i32, side: u32) -> OwnedFd {
    // SAFETY: all zero is a valid value of this struct of numbers and unions of them.
    let mut options: bpf_link_create_opts = unsafe { MaybeUninit::zeroed().assume_init() };
    options.sz = size_of::<bpf_link_create_opts>().try_into().unwrap();
    // SAFETY: the kernel reads `options`, which outlives the call.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), index, side, &raw const options)
    };
    assert!(fd >= 0, "{fd}");
    // SAFETY: the kernel has just given this descriptor to us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `return 0`, which is `TC_ACT_OK` and `TCX_PASS`.
fn program() -> OwnedFd {
    let mut instructions: [bpf_insn; 2] = Default::default();
    // BPF_ALU64 | BPF_MOV | BPF_K, register 0, immediate 0; BPF_JMP | BPF_EXIT.
    instructions[0].code = 0xb7;
    instructions[1].code = 0x95;
    // SAFETY: the kernel reads two instructions and two strings with their closing zeros.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            BPF_PROG_TYPE_SCHED_CLS,
            c"cil_from_netdev".as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            2,
            std::ptr::null_mut(),
        )
    };
    assert!(fd >= 0, "{fd}");
    // SAFETY: the kernel has just given this descriptor to us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
