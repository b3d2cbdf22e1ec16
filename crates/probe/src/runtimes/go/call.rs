// SPDX-License-Identifier: Apache-2.0
//! `struct go_call` → [`Origin`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vor_model::{
    ConnId, Connection, Endpoint, Interval, Mono, Origin, ProcessKey, Side, Transport,
};

use crate::tracers::DecodeError;
use crate::tracers::place::place;
use crate::tracers::wire::{GO_PEER_INET, GO_PEER_UNIX, GO_PEER_UNKNOWN, GO_SERVER, GoCall};

/// Who called, when, and to whom. An end that is not known is `0.0.0.0:0`.
pub(super) fn origin(call: &GoCall) -> Result<Origin, DecodeError> {
    let side = match u32::from(call.side) {
        GO_SERVER => Side::Server,
        _ => Side::Client,
    };
    let unix = Endpoint::Unix("".into());
    let (transport, local, remote) = match u32::from(call.peer) {
        GO_PEER_UNKNOWN => (Transport::Tcp, unknown(), unknown()),
        GO_PEER_INET => {
            let local = inet(call.local, call.local_port);
            (Transport::Tcp, local, inet(call.remote, call.remote_port))
        }
        GO_PEER_UNIX => (Transport::Unix, unix.clone(), unix),
        peer => return Err(DecodeError::Value { field: "go_call.peer", value: peer.into() }),
    };
    Ok(Origin {
        process: ProcessKey::new(call.pid, call.started_ns),
        thread: call.tid,
        conn: Connection {
            id: ConnId { socket: call.socket, serial: call.serial },
            transport,
            tls: false,
            local,
            remote,
        },
        side,
        from_start: true,
        time: Interval { start: Mono(call.begun_ns), end: Mono(call.ended_ns) },
        place: place(&call.place)?,
    })
}

fn unknown() -> Endpoint {
    Endpoint::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
}

fn inet(address: [u8; 16], port: u16) -> Endpoint {
    Endpoint::Inet(SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port))
}

/// The first `len` bytes of a field as text.
pub(super) fn text(field: &[u8], len: u16) -> &[u8] {
    field.get(..usize::from(len)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn a_unix_socket_has_no_address_and_an_unknown_kind_of_peer_is_refused() {
        let mut call = GoCall::new_zeroed();
        call.peer = u8::try_from(GO_PEER_UNIX).unwrap();
        let conn = origin(&call).unwrap().conn;
        assert_eq!((conn.transport, conn.remote), (Transport::Unix, Endpoint::Unix("".into())));
        call.peer = 9;
        assert!(matches!(origin(&call), Err(DecodeError::Value { value: 9, .. })));
    }
}
