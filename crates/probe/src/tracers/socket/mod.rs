// SPDX-License-Identifier: Apache-2.0
//! What observed processes say on stream sockets: TCP and unix, IPv4 and IPv6, one record per exchange.
//!
//! In: reads, writes and ends of connections, through the cheapest of three doors. Out: captured exchanges,
//! messages and ends of connections. The kernel side is the same behind every door: `pair.h` pairs what is
//! asked with what is answered, `place.h` says where in a trace that belongs, `conn.h` keeps one connection, `ends.h`
//! ends it.

mod decode;
mod hooks;

use vor_model::ConnId;
use zerocopy::{FromBytes, IntoBytes};

use crate::config::ProbeConfig;
use crate::tracers::wire::{
    SOCKET_IGNORED, SOCKET_MESSAGES, SOCKET_PAIRS, SocketSweeping, SocketVerdict,
};
use crate::tracers::{
    Door, Judge, Mode, Object, Sweep, Sweeping, Unit, async_sizes, lineage_sizes, object,
};

/// The unit.
pub const UNIT: Unit = Unit {
    name: "socket",
    objects: &[
        Object { door: Some(Door::Fentry), file: object!("socket_fentry"), hooks: hooks::FENTRY },
        Object { door: Some(Door::Kprobe), file: object!("socket_kprobe"), hooks: hooks::KPROBE },
        Object {
            door: Some(Door::Syscall),
            file: object!("socket_syscall"),
            hooks: hooks::SYSCALL,
        },
    ],
    ring: Some("socket_events"),
    decode: decode::decode,
    sizes: placing_sizes,
    sweep: Some(Sweep { program: "socket_sweep", argument: sweeping, open, rows }),
    judge: Some(Judge { program: "socket_judge", argument: verdict }),
    code: None,
};

/// Sizes of its maps, which units that share them ask for too.
pub(crate) fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let own = vec![
        ("socket_conns", config.max_connections.max(1)),
        ("socket_events", config.ring_size.bytes()),
        ("vor_pairs", config.max_requests.max(1)),
        ("vor_heard", config.max_requests.max(1)),
    ];
    [own, lineage_sizes(config)].concat()
}

/// The same for those that find places too (`place.h`).
pub(crate) fn placing_sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    [sizes(config), async_sizes(config)].concat()
}

fn sweeping(what: &Sweeping) -> Vec<u8> {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let argument = SocketSweeping {
        timeout_ns: nanos(what.timeout),
        quiet_ns: nanos(what.quiet),
        retired: what.retired.unwrap_or_default(),
        open: 0,
        count: what.rows.into(),
        conns: 0,
        tasks: 0,
        requests: 0,
        calls: 0,
        _pad: 0,
    };
    argument.as_bytes().to_vec()
}

fn open(argument: &[u8]) -> u32 {
    SocketSweeping::read_from_bytes(argument).map_or(0, |argument| argument.open)
}

fn rows(argument: &[u8]) -> Vec<u32> {
    SocketSweeping::read_from_bytes(argument)
        .map_or_else(|_| Vec::new(), |a| vec![a.conns, a.tasks, a.requests, a.calls])
}

fn verdict(conn: ConnId, mode: Mode) -> Vec<u8> {
    let mode = match mode {
        Mode::Pairs => SOCKET_PAIRS,
        Mode::Messages => SOCKET_MESSAGES,
        Mode::Ignored => SOCKET_IGNORED,
    };
    let argument = SocketVerdict { socket: conn.socket, serial: conn.serial, mode, _pad: 0 };
    argument.as_bytes().to_vec()
}
