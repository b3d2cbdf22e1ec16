// SPDX-License-Identifier: Apache-2.0
//! `struct go_call` → [`Origin`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vor_model::{
    ConnId, Connection, Endpoint, Interval, Mono, Origin, ProcessKey, Side, Transport,
};

use crate::tracers::DecodeError;
use crate::tracers::place::place;
use crate::tracers::wire::{GO_SERVER, GoCall};

/// Who called, when, and to whom. An end that is not known is `0.0.0.0:0`.
pub(super) fn origin(call: &GoCall) -> Result<Origin, DecodeError> {
    let side = match u32::from(call.side) {
        GO_SERVER => Side::Server,
        _ => Side::Client,
    };
    Ok(Origin {
        process: ProcessKey::new(call.pid, call.started_ns),
        thread: call.tid,
        conn: Connection {
            id: ConnId { socket: call.socket, serial: call.serial },
            transport: Transport::Tcp,
            local: end(call, call.local, call.local_port),
            remote: end(call, call.remote, call.remote_port),
        },
        side,
        from_start: true,
        time: Interval { start: Mono(call.begun_ns), end: Mono(call.ended_ns) },
        place: place(&call.place)?,
    })
}

fn end(call: &GoCall, address: [u8; 16], port: u16) -> Endpoint {
    let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let known = || SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port);
    Endpoint::Inet(if call.connected == 0 { unknown } else { known() })
}

/// The first `len` bytes of a field as text.
pub(super) fn text(field: &[u8], len: u16) -> &[u8] {
    field.get(..usize::from(len)).unwrap_or_default()
}
