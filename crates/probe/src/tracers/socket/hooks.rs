// SPDX-License-Identifier: Apache-2.0
//! Where the programs of each door are attached.

use crate::tracers::Hook;
use crate::tracers::wire::{
    CALL_FLAGS_3RD, CALL_FLAGS_4TH, CALL_MESSAGE, CALL_MESSAGES, CALL_SENDS, CALL_SPLICES,
    CALL_UNSEEN, CALL_VECTOR,
};

pub(super) const FENTRY: &[Hook] = &[
    Hook::section("socket_state"),
    Hook::section("socket_call4"),
    Hook::section("socket_call6").optional(), // a kernel without IPv6
    Hook::section("socket_call_un"),
    Hook::section("socket_sent4"),
    Hook::section("socket_got4"),
    Hook::section("socket_sent6").optional(),
    Hook::section("socket_got6").optional(),
    Hook::section("socket_sent_un"),
    Hook::section("socket_got_un"),
    Hook::section("socket_gone_un"),
    Hook::section("socket_splice"),
    Hook::section("socket_spl_un"),
    Hook::section("socket_page").optional(), // until 6.5
    Hook::section("socket_page_un").optional(),
];

pub(super) const KPROBE: &[Hook] = &[
    Hook::section("socket_state"),
    Hook::kprobe("socket_call_out", "inet_sendmsg"),
    Hook::kretprobe("socket_sent", "inet_sendmsg"),
    Hook::kprobe("socket_call_got", "inet_recvmsg"),
    Hook::kretprobe("socket_got", "inet_recvmsg"),
    Hook::kprobe("socket_call_out", "inet6_sendmsg").optional(), // a kernel without IPv6
    Hook::kretprobe("socket_sent", "inet6_sendmsg").optional(),
    Hook::kprobe("socket_call_got", "inet6_recvmsg").optional(),
    Hook::kretprobe("socket_got", "inet6_recvmsg").optional(),
    Hook::kprobe("socket_call_out", "unix_stream_sendmsg"),
    Hook::kretprobe("socket_sent", "unix_stream_sendmsg"),
    Hook::kprobe("socket_call_got", "unix_stream_recvmsg"),
    Hook::kretprobe("socket_got", "unix_stream_recvmsg"),
    Hook::kprobe("socket_gone_un", "unix_release"),
    Hook::kprobe("socket_call", "tcp_splice_read"),
    Hook::kretprobe("socket_spliced", "tcp_splice_read"),
    Hook::kprobe("socket_call", "unix_stream_splice_read"),
    Hook::kretprobe("socket_spliced", "unix_stream_splice_read"),
    Hook::kprobe("socket_call", "inet_sendpage").optional(), // until 6.5
    Hook::kretprobe("socket_paged", "inet_sendpage").optional(),
    Hook::kprobe("socket_call", "unix_stream_sendpage").optional(),
    Hook::kretprobe("socket_paged", "unix_stream_sendpage").optional(),
];

pub(super) const SYSCALL: &[Hook] = &[
    Hook::section("socket_state"),
    call("socket_sends", "sys_enter_write"),
    call("socket_sends", "sys_enter_writev"),
    call("socket_sends", "sys_enter_sendto"),
    call("socket_sends", "sys_enter_sendmsg"),
    call("socket_sends", "sys_enter_sendmmsg"),
    call("socket_returns", "sys_exit_read"),
    call("socket_returns", "sys_exit_write").tagged(CALL_SENDS),
    call("socket_returns", "sys_exit_recvfrom").tagged(CALL_FLAGS_4TH),
    call("socket_returns", "sys_exit_sendto").tagged(CALL_SENDS),
    call("socket_returns", "sys_exit_readv").tagged(CALL_VECTOR),
    call("socket_returns", "sys_exit_writev").tagged(CALL_SENDS | CALL_VECTOR),
    call("socket_returns", "sys_exit_preadv2").tagged(CALL_VECTOR),
    call("socket_returns", "sys_exit_pwritev2").tagged(CALL_SENDS | CALL_VECTOR),
    call("socket_returns", "sys_exit_recvmsg").tagged(CALL_MESSAGE | CALL_FLAGS_3RD),
    call("socket_returns", "sys_exit_sendmsg").tagged(CALL_SENDS | CALL_MESSAGE),
    call("socket_returns", "sys_exit_recvmmsg").tagged(CALL_MESSAGES | CALL_FLAGS_4TH),
    call("socket_returns", "sys_exit_sendmmsg").tagged(CALL_SENDS | CALL_MESSAGES),
    call("socket_returns", "sys_exit_sendfile64").tagged(CALL_SENDS | CALL_UNSEEN),
    call("socket_returns", "sys_exit_splice").tagged(CALL_UNSEEN | CALL_SPLICES),
    call("socket_close", "sys_enter_close"),
];

const fn call(program: &'static str, event: &'static str) -> Hook {
    Hook::tracepoint(program, "syscalls", event)
}
