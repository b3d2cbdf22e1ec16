// SPDX-License-Identifier: Apache-2.0
//! `socket_record` and the bytes behind it → [`Captured`].

use std::net::{Ipv6Addr, SocketAddr};

use bytes::Bytes;
use vor_model::{
    Captured, ConnId, Connection, Ending, Endpoint, Exchange, Interval, Message, Mono, Origin,
    ProcessKey, Side, Transport,
};
use zerocopy::FromBytes;

use crate::tracers::DecodeError;
use crate::tracers::place::place;
use crate::tracers::wire::{
    SOCKET_ANSWERED, SOCKET_CLOSED, SOCKET_EXCHANGE, SOCKET_FROM_START, SOCKET_MESSAGE,
    SOCKET_PATH_LOCAL, SOCKET_SENT, SOCKET_SERVER, SOCKET_SHUT, SOCKET_TIMED_OUT, SOCKET_TLS,
    SOCKET_UNIX, SocketRecord,
};

/// What one record says.
pub(super) fn decode(record: &[u8]) -> Result<Captured, DecodeError> {
    let (head, bytes) = SocketRecord::read_from_prefix(record).map_err(|_| short(record))?;
    let bytes = Bytes::copy_from_slice(bytes);
    let origin = origin(&head, &bytes)?;
    match u32::from(head.kind) {
        SOCKET_EXCHANGE => Ok(Captured::Exchange(origin, exchange(&head, &bytes)?)),
        SOCKET_MESSAGE => {
            let sent = flagged(&head, SOCKET_SENT);
            let message = Message {
                from: if sent { origin.side } else { origin.side.other() },
                bytes: run(&bytes, head.request_at, head.request_cap)?,
                len: head.request_len,
            };
            Ok(Captured::Message(origin, message))
        }
        SOCKET_CLOSED => Ok(Captured::Closed(origin)),
        kind => Err(DecodeError::Value { field: "socket_record.kind", value: kind.into() }),
    }
}

fn short(bytes: &[u8]) -> DecodeError {
    DecodeError::Short { len: bytes.len(), expected: "socket_record" }
}

fn flagged(head: &SocketRecord, flag: u32) -> bool {
    u32::from(head.flags) & flag != 0
}

/// Shares the memory of `bytes`.
fn run(bytes: &Bytes, at: u16, len: u16) -> Result<Bytes, DecodeError> {
    let at = usize::from(at);
    let end = at + usize::from(len);
    if end > bytes.len() {
        return Err(short(bytes));
    }
    Ok(bytes.slice(at..end))
}

fn origin(head: &SocketRecord, bytes: &Bytes) -> Result<Origin, DecodeError> {
    let end = head.request_end_ns.max(head.response_end_ns);
    Ok(Origin {
        process: ProcessKey::new(head.pid, head.started_ns),
        thread: head.tid,
        conn: connection(head, bytes)?,
        side: if flagged(head, SOCKET_SERVER) { Side::Server } else { Side::Client },
        from_start: flagged(head, SOCKET_FROM_START),
        time: Interval { start: Mono(head.request_start_ns), end: Mono(end) },
        place: place(&head.place)?,
    })
}

fn connection(head: &SocketRecord, bytes: &Bytes) -> Result<Connection, DecodeError> {
    let id = ConnId { socket: head.socket, serial: head.serial };
    let tls = flagged(head, SOCKET_TLS);
    if !flagged(head, SOCKET_UNIX) {
        let local = inet(head.local, head.local_port);
        let remote = inet(head.remote, head.remote_port);
        return Ok(Connection { id, transport: Transport::Tcp, tls, local, remote });
    }
    // The record of a close has no bytes, so it cannot name either end; the connection's id is enough.
    let path_len = if u32::from(head.kind) == SOCKET_CLOSED { 0 } else { head.path_len };
    let named = unix(&run(bytes, 0, path_len.into())?);
    let unnamed = Endpoint::Unix("".into());
    let (local, remote) =
        if flagged(head, SOCKET_PATH_LOCAL) { (named, unnamed) } else { (unnamed, named) };
    Ok(Connection { id, transport: Transport::Unix, tls, local, remote })
}

fn inet(address: [u8; 16], port: u16) -> Endpoint {
    let ip = Ipv6Addr::from(address).to_canonical();
    Endpoint::Inet(SocketAddr::new(ip, port))
}

/// unix(7): a path ends with its first NUL; a name that begins with NUL is abstract.
fn unix(path: &[u8]) -> Endpoint {
    let name = match path {
        [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name)),
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(path).into_owned()
        }
    };
    Endpoint::Unix(name.into())
}

fn exchange(head: &SocketRecord, bytes: &Bytes) -> Result<Exchange, DecodeError> {
    Ok(Exchange {
        request: run(bytes, head.request_at, head.request_cap)?,
        request_len: head.request_len,
        response: run(bytes, head.response_at, head.response_cap)?,
        response_len: head.response_len,
        request_end: Mono(head.request_end_ns),
        response_start: Mono(head.response_start_ns),
        ending: ending(head.ending)?,
    })
}

fn ending(ending: u8) -> Result<Ending, DecodeError> {
    match u32::from(ending) {
        SOCKET_ANSWERED => Ok(Ending::Answered),
        SOCKET_TIMED_OUT => Ok(Ending::TimedOut),
        SOCKET_SHUT => Ok(Ending::Closed),
        ending => Err(DecodeError::Value { field: "socket_record.ending", value: ending.into() }),
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    /// An exchange as the kernel side would send it: `GET` asked, `200` answered.
    fn record(change: impl FnOnce(&mut SocketRecord)) -> Vec<u8> {
        let mut head = SocketRecord::new_zeroed();
        head.kind = u8::try_from(SOCKET_EXCHANGE).unwrap();
        head.ending = u8::try_from(SOCKET_ANSWERED).unwrap();
        head.flags = u8::try_from(SOCKET_SERVER).unwrap();
        (head.request_cap, head.response_at, head.response_cap) = (3, 3, 3);
        head.local = *b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01";
        head.remote = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
        (head.local_port, head.remote_port) = (8080, 40_000);
        (head.pid, head.started_ns) = (7, 123_456_789);
        change(&mut head);
        [head.as_bytes(), b"GET200"].concat()
    }

    #[test]
    fn addresses_sides_and_bytes_come_out_as_they_went_in() {
        let Captured::Exchange(origin, exchange) = decode(&record(|_| ())).unwrap() else {
            panic!("not an exchange");
        };
        assert_eq!(origin.conn.local.to_string(), "127.0.0.1:8080");
        assert_eq!(origin.conn.remote.to_string(), "[2001:db8::1]:40000");
        assert_eq!((origin.side, origin.from_start), (Side::Server, false));
        assert_eq!(origin.process.started, Mono(120_000_000));
        assert_eq!((&exchange.request[..], &exchange.response[..]), (&b"GET"[..], &b"200"[..]));
    }

    #[test]
    fn unix_names_are_shown_as_people_write_them() {
        for (path, shown) in
            [(&b"/run/x\0"[..], "/run/x"), (b"\0bus", "@bus"), (b"", ""), (b"\xff", "\u{fffd}")]
        {
            assert_eq!(unix(path).address(), shown);
        }
    }

    #[test]
    fn the_close_of_a_unix_connection_has_no_bytes() {
        let closed = record(|head| {
            head.kind = u8::try_from(SOCKET_CLOSED).unwrap();
            head.flags = u8::try_from(SOCKET_UNIX).unwrap();
            head.path_len = 10;
        });
        let head_only = &closed[..closed.len() - b"GET200".len()];
        assert!(matches!(decode(head_only), Ok(Captured::Closed(_))));
    }

    #[test]
    fn what_points_outside_the_record_is_refused() {
        let whole = record(|_| ());
        for len in 0..whole.len() {
            assert!(decode(&whole[..len]).is_err(), "{len}");
        }
        assert!(decode(&record(|head| head.response_at = u16::MAX)).is_err());
        assert!(decode(&record(|head| head.kind = 9)).is_err());
        assert!(decode(&record(|head| head.ending = 9)).is_err());
        let unix = |head: &mut SocketRecord| {
            head.flags = u8::try_from(SOCKET_UNIX).unwrap();
            head.path_len = 200;
        };
        assert!(decode(&record(unix)).is_err());
    }
}
