// SPDX-License-Identifier: Apache-2.0
//! `struct go_http_record` → [`Captured::Operation`].

use std::fmt::Write;
use std::sync::Arc;

use vor_model::{Captured, Done, Mono, Side};
use vor_protocol::http::{Authority, Outcome, Request, Target, known_method};
use zerocopy::FromBytes;

use super::super::call::{origin, text};
use crate::tracers::DecodeError;
use crate::tracers::wire::{GO_CLIENT, GO_HTTP_STATUSES, GO_LEFT, GoHttpRecord};

/// More than bodies have, 824 GB: from there on, a number is the address of something that Go allocated.
const MAX_SIZE: i64 = 0xc0_0000_0000;

pub(super) fn decode(bytes: &[u8]) -> Result<Captured, DecodeError> {
    let (record, _) = GoHttpRecord::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { len: bytes.len(), expected: "go_http_record" })?;
    if record.major == 0 || record.major > 3 {
        return Err(DecodeError::Value {
            field: "go_http_record.major",
            value: record.major.into(),
        });
    }
    if record.status != 0 && !(100..GO_HTTP_STATUSES).contains(&record.status.into()) {
        return Err(DecodeError::Value {
            field: "go_http_record.status",
            value: record.status.into(),
        });
    }
    plausible(&record)?;
    let origin = origin(&record.call)?;
    let left = u32::from(record.call.ending) == GO_LEFT;
    let outcome = match record.status {
        0 => Outcome::Closed,
        _ if left => Outcome::Closed,
        status => Outcome::Answered(status, response_size(&record)),
    };
    let mut operation = request(&record, origin.side).operation(origin.side, outcome);
    if origin.side == Side::Server && record.call.handled_ns != 0 {
        operation.handled = Some(Mono(record.call.handled_ns));
    }
    let done = Done { time: origin.time, operation };
    Ok(Captured::Operation(origin, Box::new(done)))
}

/// Whether all that was read by offsets can be what it is taken for: a wrong offset gives other bytes of the
/// program's memory.
fn plausible(record: &GoHttpRecord) -> Result<(), DecodeError> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let printed = |byte: &u8| byte.is_ascii_graphic();
    let target = text(&record.target, record.target_len);
    let client = u32::from(record.call.side) == GO_CLIENT;
    let fits = |size: i64| (-1..MAX_SIZE).contains(&size);
    let checks = [
        ("go_http_record.method", text(&record.method, record.method_len).iter().all(token)),
        ("go_http_record.host", text(&record.host, record.host_len).iter().all(printed)),
        // The decoded path of a client may be anything but begins as all do; `*` and authorities have none.
        ("go_http_record.target", target.first().is_none_or(u8::is_ascii_graphic)),
        // Every request that came asks for something, and every one that is made goes somewhere.
        ("go_http_record.target", record.target_len != 0 || client && record.host_len != 0),
        ("go_http_record.target", record.escaped == 0 || target.iter().all(printed)),
        ("go_http_record.request_size", fits(record.request_size)),
        ("go_http_record.response_size", fits(record.response_size)),
    ];
    match checks.into_iter().find(|(_, good)| !good) {
        Some((field, _)) => Err(DecodeError::Text { field }),
        None => Ok(()),
    }
}

/// How long the body of the answer is: a handler may have written one, and a head may tell of one, where none is sent
/// (RFC 9110, section 6.4.1).
fn response_size(record: &GoHttpRecord) -> Option<u64> {
    let bare = text(&record.method, record.method_len) == b"HEAD";
    if bare || [204, 304].contains(&record.status) {
        return Some(0);
    }
    u64::try_from(record.response_size).ok()
}

fn request(record: &GoHttpRecord, side: Side) -> Request {
    let method = text(&record.method, record.method_len);
    // An empty method of a client means GET (net/http.Request).
    let method = if method.is_empty() { b"GET" } else { method };
    let target = text(&record.target, record.target_len);
    let scheme = if record.tls == 0 { "http" } else { "https" };
    let authority = Authority::read(text(&record.host, record.host_len));
    let path = match side {
        Side::Client => escaped(target, record.escaped != 0),
        Side::Server => String::from_utf8_lossy(target).into_owned(),
    };
    let target = Target::new(scheme, authority, path.as_bytes());
    Request {
        method: known_method(method)
            .map_or_else(|| String::from_utf8_lossy(method).into_owned().into(), Into::into),
        target,
        version: version(record),
        body: u64::try_from(record.request_size).ok(),
        route: route(text(&record.route, record.route_len)),
        context: None,
    }
}

fn version(record: &GoHttpRecord) -> &'static str {
    match (record.major, record.minor) {
        (1, 0) => "1.0",
        (1, _) => "1.1",
        (2, _) => "2",
        _ => "",
    }
}

/// The path of a pattern `[METHOD ][HOST]/PATH` (net/http.ServeMux).
fn route(pattern: &[u8]) -> Option<Arc<str>> {
    let path = pattern.get(pattern.iter().position(|byte| *byte == b'/')?..)?;
    Some(String::from_utf8_lossy(path).into())
}

/// A path as it is sent: Go keeps it decoded, and escaped only where that would not give the same
/// (net/url.URL.EscapedPath).
fn escaped(path: &[u8], already: bool) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"-_.~$&+,/:;=@!'()*".contains(&byte)
            || already && b"%[]".contains(&byte)
    };
    path.iter().fold(String::with_capacity(path.len()), |mut escaped, byte| {
        if plain(*byte) {
            escaped.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use vor_model::Status;
    use vor_model::semconv::{HTTP_REQUEST_BODY_SIZE, HTTP_RESPONSE_BODY_SIZE};
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;
    use crate::tracers::wire::{GO_HTTP_UNREAD, GO_RETURNED, GO_SERVER};

    fn record(change: impl FnOnce(&mut GoHttpRecord)) -> GoHttpRecord {
        let mut record = GoHttpRecord::new_zeroed();
        let fill = |field: &mut [u8], text: &[u8]| {
            field[..text.len()].copy_from_slice(text);
            u16::try_from(text.len()).unwrap()
        };
        record.call.side = u8::try_from(GO_SERVER).unwrap();
        record.call.ending = u8::try_from(GO_RETURNED).unwrap();
        (record.major, record.minor, record.status) = (1, 1, 200);
        record.method_len = fill(&mut record.method, b"GET");
        record.target_len = fill(&mut record.target, b"/items/7?secret=1");
        record.route_len = fill(&mut record.route, b"GET shop.org/items/{id}");
        change(&mut record);
        record
    }

    fn operation(record: &GoHttpRecord) -> vor_model::Operation {
        match decode(record.as_bytes()) {
            Ok(Captured::Operation(_, done)) => done.operation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_names_the_route_and_hides_the_query() {
        let served = operation(&record(|_| ()));
        assert_eq!(&*served.name, "GET /items/{id}");
        assert_eq!(&*served.headline.object, "/items/7");
        assert_eq!((served.status, served.headline.code), (Status::Unset, 200));
    }

    #[test]
    fn a_handler_that_panicked_gave_no_answer() {
        let left = operation(&record(|record| record.call.ending = u8::try_from(GO_LEFT).unwrap()));
        assert!(matches!(left.status, Status::Error(_)));
        assert_eq!(left.headline.code, 0);
    }

    #[test]
    fn a_clients_path_is_escaped_as_it_is_sent() {
        let asked = operation(&record(|record| {
            record.call.side = u8::try_from(GO_CLIENT).unwrap();
            record.target[..4].copy_from_slice("/é ".as_bytes());
            record.target_len = 4;
        }));
        assert_eq!(&*asked.headline.object, "/%C3%A9%20");
    }

    #[test]
    fn sizes_are_those_of_bodies_that_are_sent_and_unknown_ones_are_not_told() {
        let sizes = |change: fn(&mut GoHttpRecord)| {
            let attrs = operation(&record(change)).attrs;
            [HTTP_REQUEST_BODY_SIZE, HTTP_RESPONSE_BODY_SIZE].map(|key| attrs.get(&key).cloned())
        };
        let whole = |size: i64| Some(vor_model::Value::from(size));
        let known: fn(&mut GoHttpRecord) = |r| (r.request_size, r.response_size) = (5, 6);
        assert_eq!(sizes(known), [whole(5), whole(6)]);
        assert_eq!(sizes(|r| (r.request_size, r.response_size) = (-1, -1)), [None, None]);
        let head: fn(&mut GoHttpRecord) = |r| {
            r.method[..4].copy_from_slice(b"HEAD");
            (r.method_len, r.response_size) = (4, 6);
        };
        assert_eq!(sizes(head), [whole(0), whole(0)]);
        assert_eq!(sizes(|r| (r.status, r.response_size) = (304, 6)), [whole(0), whole(0)]);
    }

    #[test]
    fn values_that_wrong_offsets_would_give_are_refused() {
        let changes: [fn(&mut GoHttpRecord); 4] = [
            |record| record.major = 0,
            |record| record.major = 77,
            |record| record.status = u16::try_from(GO_HTTP_UNREAD).unwrap(),
            |record| record.status = 60_000,
        ];
        for change in changes {
            assert!(matches!(decode(record(change).as_bytes()), Err(DecodeError::Value { .. })));
        }
        let changes: [fn(&mut GoHttpRecord); 4] = [
            |record| record.target_len = 0,
            |record| record.method[0] = 0,
            |record| record.request_size = -2,
            |record| record.response_size = 0xc0_0001_2000,
        ];
        for change in changes {
            assert!(matches!(decode(record(change).as_bytes()), Err(DecodeError::Text { .. })));
        }
        assert!(matches!(decode(&[0; 8]), Err(DecodeError::Short { len: 8, .. })));
    }
}
