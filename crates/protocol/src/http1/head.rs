// SPDX-License-Identifier: Apache-2.0
//! Start lines and the few header fields that matter (RFC 9112, sections 2 to 6).
//!
//! In: bytes that begin where a head begins and may stop anywhere. Out: what they say as far as they go.

use std::sync::Arc;

use vor_model::TraceContext;

use super::body::Body;
use crate::cursor::{Cursor, count};
use crate::http::{Authority, Request, Target, default_port, known_method, without_query};
use crate::{Claim, Unreadable};

/// Longest method that is taken for one.
const MAX_METHOD: usize = 24;

/// A head, as far as it was there.
#[derive(Debug)]
pub(super) struct Head<T> {
    /// What it says.
    pub(super) says: T,
    /// What follows it.
    pub(super) body: Body,
    /// How many bytes it takes.
    pub(super) len: u64,
    /// Whether its end was there.
    pub(super) whole: bool,
}

/// How sure it is that `bytes` begin with a request. Other methods than the known ones are possible, but so are
/// the last bytes of a body before one that is known.
pub(super) fn begins_request(bytes: &[u8]) -> Claim {
    let Ok(line) = RequestLine::read(skip_blank_lines(bytes)) else { return Claim::No };
    let shape =
        line.target.first().is_some_and(|c| c.is_ascii_alphanumeric() || b"/*[".contains(c))
            && line.target.iter().all(|c| !c.is_ascii_control());
    match (shape, line.whole, known_method(line.method)) {
        (true, true, Some(_)) => Claim::Sure,
        (true, true, None) | (true, false, Some(_)) => Claim::Maybe,
        (true, false, None) | (false, _, _) => Claim::No,
    }
}

/// How sure it is that `bytes` begin with an answer.
pub(super) fn begins_answer(bytes: &[u8]) -> Claim {
    match status_line(bytes) {
        Ok(_) => Claim::Sure,
        Err(Unreadable::Cut(_)) if bytes.starts_with(b"HTTP/1.") => Claim::Maybe,
        Err(_) => Claim::No,
    }
}

/// A server ignores empty lines before a request (RFC 9112, section 2.2).
pub(super) fn skip_blank_lines(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(blank..).unwrap_or_default()
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: &'static str,
    /// Whether its end was there.
    whole: bool,
}

impl<'a> RequestLine<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        const MALFORMED: Unreadable = Unreadable::Malformed("request line");
        let len = bytes.iter().take(MAX_METHOD + 1).take_while(|byte| is_token(**byte)).count();
        let mut cursor = Cursor::new(bytes);
        let method = cursor.take(len, "method")?;
        match cursor.u8("target") {
            Ok(b' ') if len > 0 => {}
            Err(cut) if len <= MAX_METHOD => return Err(cut),
            Ok(_) | Err(_) => return Err(MALFORMED),
        }
        let Ok(line) = cursor.line("request line") else {
            let rest = cursor.rest();
            let target = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            let target = target.strip_suffix(b"\r").unwrap_or(target);
            if target.is_empty() {
                return Err(Unreadable::Cut("target"));
            }
            return Ok(Self { method, target, version: "", whole: false });
        };
        // Sloppy clients leave spaces in the target.
        let space = memchr::memrchr(b' ', line).ok_or(MALFORMED)?;
        let (target, version) = line.split_at_checked(space).ok_or(MALFORMED)?;
        let version = match version {
            b" HTTP/1.1" => "1.1",
            b" HTTP/1.0" => "1.0",
            _ => return Err(MALFORMED),
        };
        if target.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self { method, target, version, whole: true })
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the header fields say that matters.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    whole: bool,
}

impl<'a> Fields<'a> {
    /// Reads lines up to the empty one. One that was cut is left out: half a value is another value.
    fn read(cursor: &mut Cursor<'a>) -> Self {
        let mut fields = Self::default();
        while let Ok(line) = cursor.line("header field") {
            let Some(first) = line.first() else {
                fields.whole = true;
                break;
            };
            // The first letter rules out most fields.
            match first | 0x20 {
                b'h' => first_of(&mut fields.host, line, b"host"),
                b'c' => first_of(&mut fields.length, line, b"content-length"),
                b't' => {
                    first_of(&mut fields.traceparent, line, b"traceparent");
                    if let Some(coding) = value(line, b"transfer-encoding") {
                        fields.coding = Some(coding); // of several, the last one counts
                    }
                }
                _ => {}
            }
        }
        fields
    }

    /// The length the head declares, if it is a number.
    fn declared(&self) -> Option<u64> {
        let length = self.length?;
        let first = length.split(|byte| *byte == b',').next().unwrap_or_default();
        std::str::from_utf8(first.trim_ascii()).ok()?.parse().ok()
    }

    /// RFC 9112, section 6.3; `none` is what a head means that says nothing about the body.
    fn body(&self, none: Body) -> Body {
        if !self.whole {
            return Body::Unknown;
        }
        match (self.coding, self.length) {
            (Some(coding), _) if ends_chunked(coding) => Body::CHUNKED,
            (Some(_), _) => Body::Unknown,
            (None, Some(_)) => self.declared().map_or(Body::Unknown, Body::Length),
            (None, None) => none,
        }
    }
}

fn first_of<'a>(field: &mut Option<&'a [u8]>, line: &'a [u8], name: &[u8]) {
    if field.is_none() {
        *field = value(line, name);
    }
}

/// The value of the field in `line`, if its name is `name`.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let (colon, value) = rest.split_first()?;
    (*colon == b':' && found.eq_ignore_ascii_case(name)).then_some(value.trim_ascii())
}

fn ends_chunked(coding: &[u8]) -> bool {
    let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Reads the head of a request that came by `scheme`. `Cut`: not even a part of the target was there.
pub(super) fn request(bytes: &[u8], scheme: &'static str) -> Result<Head<Request>, Unreadable> {
    let mut cursor = Cursor::new(skip_blank_lines(bytes));
    let line = RequestLine::read(cursor.rest())?;
    let fields = if line.whole {
        cursor.line("request line")?;
        Fields::read(&mut cursor)
    } else {
        cursor = Cursor::new(b"");
        Fields::default()
    };
    let body = fields.body(Body::Length(0));
    let method = known_method(line.method)
        .map_or_else(|| String::from_utf8_lossy(line.method).into_owned().into(), Into::into);
    let says = Request {
        method,
        target: target(&line, fields.host, scheme),
        version: line.version,
        body: match body {
            Body::Length(length) => Some(length),
            Body::Chunked(_) => Some(0),
            Body::Unknown => fields.declared(),
        },
        route: None,
        context: fields.traceparent.and_then(TraceContext::from_traceparent),
    };
    Ok(Head { says, body, len: count(bytes) - count(cursor.rest()), whole: fields.whole })
}

/// The four forms of RFC 9112, section 3.2.
fn target(line: &RequestLine<'_>, host: Option<&[u8]>, scheme: &'static str) -> Target {
    let text = |bytes: &[u8]| -> Arc<str> { String::from_utf8_lossy(bytes).into() };
    if line.method == b"CONNECT" {
        let authority = Authority::read(line.target);
        return Target { scheme, authority, path: text(line.target) };
    }
    if let Some((scheme, after)) = absolute(line.target) {
        let end = after.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(after.len());
        let (authority, path) = after.split_at_checked(end).unwrap_or((after, b""));
        let mut authority = Authority::read(authority);
        if let Some(authority) = &mut authority {
            // The connection leads to a proxy: its port is another one.
            authority.port.get_or_insert(default_port(scheme));
        }
        return Target { scheme, authority, path: text(without_query(path)) };
    }
    let authority = host.and_then(Authority::read);
    Target { scheme, authority, path: text(without_query(line.target)) }
}

/// Scheme, and what follows `://`.
fn absolute(target: &[u8]) -> Option<(&'static str, &[u8])> {
    let (scheme, rest) = target.split_at_checked(memchr::memchr(b':', target)?)?;
    let rest = rest.strip_prefix(b"://")?;
    match scheme {
        scheme if scheme.eq_ignore_ascii_case(b"http") => Some(("http", rest)),
        scheme if scheme.eq_ignore_ascii_case(b"https") => Some(("https", rest)),
        _ => None,
    }
}

/// The status of the answer at the start of `bytes`.
fn status_line(bytes: &[u8]) -> Result<u16, Unreadable> {
    const PREFIX: &[u8] = b"HTTP/1.";
    let mut cursor = Cursor::new(bytes);
    if !PREFIX.iter().zip(bytes).all(|(expected, byte)| expected == byte) {
        return Err(Unreadable::Malformed("status line"));
    }
    cursor.take(PREFIX.len(), "status line")?;
    let (minor, space) = (cursor.u8("version")?, cursor.u8("status code")?);
    let code = std::str::from_utf8(cursor.take(3, "status code")?).unwrap_or_default();
    match code.parse() {
        Ok(code @ 100..=599) if minor.is_ascii_digit() && space == b' ' => Ok(code),
        Ok(_) | Err(_) => Err(Unreadable::Malformed("status line")),
    }
}

/// Reads the head of an answer to a request with `method`. `Cut`: not even the status was there.
pub(super) fn answer(bytes: &[u8], method: Option<&str>) -> Result<Head<u16>, Unreadable> {
    let code = status_line(bytes)?;
    let mut cursor = Cursor::new(bytes);
    let fields = match cursor.line("status line") {
        Ok(_) => Fields::read(&mut cursor),
        Err(_) => Fields::default(),
    };
    let bodiless = matches!(code, 100..=199 | 204 | 304) || method == Some("HEAD");
    let body = if bodiless && fields.whole { Body::Length(0) } else { fields.body(Body::Unknown) };
    let rest = if fields.whole { count(cursor.rest()) } else { 0 };
    Ok(Head { says: code, body, len: count(bytes) - rest, whole: fields.whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> Head<Request> {
        request(bytes.as_bytes(), "http").unwrap()
    }

    #[test]
    fn every_form_of_a_target_is_understood() {
        let parts = |line: &str| {
            let target = read(&format!("{line} HTTP/1.1\r\nHost: a:1\r\n\r\n")).says.target;
            let authority = target.authority.unwrap();
            (target.scheme, authority.host.to_string(), authority.port, target.path.to_string())
        };
        for (line, scheme, host, port, path) in [
            ("GET /x%2f?q", "http", "a", Some(1), "/x%2f"),
            ("GET http://b", "http", "b", Some(80), "/"),
            ("GET HTTPS://u:p@b/x#f", "https", "b", Some(443), "/x"),
            ("GET http://[::1]:9?q=/", "http", "::1", Some(9), "/"),
            ("CONNECT b:443", "http", "b", Some(443), "b:443"),
            ("OPTIONS *", "http", "a", Some(1), "*"),
            ("GET /a b c", "http", "a", Some(1), "/a b c"),
        ] {
            assert_eq!(parts(line), (scheme, host.into(), port, path.into()), "{line}");
        }
    }

    #[test]
    fn the_end_of_a_body_follows_from_the_head() {
        for (fields, body) in [
            ("", Body::Length(0)),
            ("content-length: 12\r\n", Body::Length(12)),
            ("Content-Length: 12, 12\r\n", Body::Length(12)),
            ("Content-Length: -1\r\n", Body::Unknown),
            ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 1\r\n", Body::CHUNKED),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Body::CHUNKED),
            ("Transfer-Encoding: gzip\r\n", Body::Unknown),
        ] {
            assert_eq!(read(&format!("PUT / HTTP/1.1\r\n{fields}\r\n")).body, body, "{fields}");
        }
        let answered = |text: &str, method| answer(text.as_bytes(), method).unwrap().body;
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(answered(long, Some("GET")), Body::Length(9));
        assert_eq!(answered(long, Some("HEAD")), Body::Length(0));
        assert_eq!(answered(&long.replace("200", "304"), None), Body::Length(0));
        assert_eq!(answered("HTTP/1.0 200 OK\r\n\r\n", None), Body::Unknown);
        assert_eq!(answered(&long[..30], None), Body::Unknown);
    }

    #[test]
    fn a_cut_head_says_as_much_as_is_there_and_no_half_values() {
        let whole = "POST /cart HTTP/1.1\r\nHost: shop\r\nContent-Length: 123\r\n\r\n";
        for cut in 0..whole.len() {
            let head = request(&whole.as_bytes()[..cut], "http");
            if cut <= "POST ".len() {
                assert!(matches!(head, Err(Unreadable::Cut(_))), "{cut}");
                continue;
            }
            let head = head.unwrap();
            assert!(!head.whole && "/cart".starts_with(&*head.says.target.path), "{cut}");
            assert_eq!(head.body, Body::Unknown);
            assert!(matches!(head.says.body, None | Some(123)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [
            "GET /\r\n",
            "GET / HTTP/2.0\r\n",
            "GET  HTTP/1.1\r\n",
            " / HTTP/1.1\r\n",
            "G(T / HTTP/1.1\r\n",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "PRI * HTTP/2.0\r\n\r\n",
        ] {
            assert!(
                matches!(request(bytes.as_bytes(), "http"), Err(Unreadable::Malformed(_))),
                "{bytes}"
            );
            assert_eq!(begins_request(bytes.as_bytes()), Claim::No, "{bytes}");
        }
        for bytes in ["HTTP/2.0 200 OK", "HTTP/1.1 099 x", "HTTP/1.1 600 x", "HTTP/1.1x200 OK"] {
            assert_eq!(begins_answer(bytes.as_bytes()), Claim::No, "{bytes}");
        }
    }
}
