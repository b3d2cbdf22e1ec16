// SPDX-License-Identifier: Apache-2.0
//! One line of text per span, in the fields and the order of Beyla's printer.
//!
//! The time stamp is local time with a true fraction of a second; Beyla's is not one.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vor_model::semconv::{CLIENT_ADDRESS, SERVER_ADDRESS};
use vor_model::{Clock, Endpoint, Headline, Key, Service, Span, SpanId, Status};

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Local time as text. All but the fraction of the last second is kept: the next span began in the same one.
pub(super) struct Stamps {
    zone: TimeZone,
    second: i64,
    text: String,
}

impl Stamps {
    /// Times of `zone`.
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, second: i64::MIN, text: String::new() }
    }

    fn write(&mut self, at: SystemTime, to: &mut Vec<u8>) {
        let at = Timestamp::try_from(at).unwrap_or_default();
        if at.as_second() != self.second {
            self.second = at.as_second();
            let local = at.to_zoned(self.zone.clone());
            self.text = local.strftime("%Y-%m-%d %H:%M:%S.").to_string();
        }
        text(&self.text, to);
        // A leading one keeps the zeros.
        let micros = at.subsec_nanosecond().unsigned_abs() / 1_000 + 1_000_000;
        let mut digits = itoa::Buffer::new();
        text(digits.format(micros).get(1..).unwrap_or_default(), to);
    }
}

/// Writes the line of `span`, with its end. Word by word: the formatting machinery would cost as much as all the
/// rest of a span's way.
pub(super) fn write(
    span: &Span,
    clock: &Clock,
    stamps: &mut Stamps,
    colour: bool,
    to: &mut Vec<u8>,
) {
    let paint = |code| if colour { code } else { "" };
    let bad = matches!(span.operation.status, Status::Error(_));
    let headline = &span.operation.headline;
    text(paint(DIM), to);
    stamps.write(clock.wall(span.time.start), to);
    text(paint(PLAIN), to);
    text(" (", to);
    let took = to.len();
    // Writing to a Vec cannot fail.
    let _ = write!(to, "{}", GoDuration(span.time.duration()));
    let took = took..to.len();
    text("[", to);
    match span.operation.handled {
        Some(handled) => {
            let _ = write!(to, "{}", GoDuration(span.time.end.since(handled)));
        }
        None => to.extend_from_within(took),
    }
    text("]) ", to);
    self::headline(headline, bad, colour, to);
    let (conn, side) = (&span.origin.conn, span.origin.side);
    end(span, conn.client(side), &CLIENT_ADDRESS, to);
    text("->", to);
    end(span, conn.server(side), &SERVER_ADDRESS, to);
    text(" size:", to);
    number(headline.size, to);
    text("B ", to);
    service(&span.service, to);
    for word in [" ", paint(DIM), "traceparent=[00-"] {
        text(word, to);
    }
    let parent = span.parent.unwrap_or(SpanId([0; 8]));
    // Writing to a Vec cannot fail.
    let _ =
        writeln!(to, "{}-{}[{parent}]-{:02x}]{}", span.trace, span.id, span.flags, paint(PLAIN));
}

/// `HTTP 200 GET /cart `.
pub(super) fn headline(headline: &Headline, bad: bool, colour: bool, to: &mut Vec<u8>) {
    let paint = |code| if colour { code } else { "" };
    for word in [headline.label, " ", paint(if bad { RED } else { GREEN })] {
        text(word, to);
    }
    number(headline.code.into(), to);
    text(paint(PLAIN), to);
    text(" ", to);
    clean(&headline.verb, to);
    text(" ", to);
    clean(&headline.object, to);
    text(" ", to);
}

/// `svc=[shop/cart python]`.
pub(super) fn service(service: &Service, to: &mut Vec<u8>) {
    text("svc=[", to);
    if !service.namespace.is_empty() {
        clean(&service.namespace, to);
        text("/", to);
    }
    clean(&service.name, to);
    for word in [" ", service.language.as_str(), "]"] {
        text(word, to);
    }
}

/// `[address as name:port]`; the name is the address when it is not known.
fn end(span: &Span, at: &Endpoint, name: &Key, to: &mut Vec<u8>) {
    text("[", to);
    let address = to.len();
    match at {
        Endpoint::Inet(at) => ip(at.ip(), to),
        Endpoint::Unix(_) => clean(&at.to_string(), to),
    }
    let address = address..to.len();
    text(" as ", to);
    let name = span.operation.attrs.get(name).and_then(|name| name.as_str());
    match name.filter(|name| !name.is_empty()) {
        Some(name) => clean(name, to),
        None => to.extend_from_within(address),
    }
    text(":", to);
    number(at.port().unwrap_or_default().into(), to);
    text("]", to);
}

fn text(word: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(word.as_bytes());
}

fn number(number: u64, to: &mut Vec<u8>) {
    text(itoa::Buffer::new().format(number), to);
}

fn ip(address: IpAddr, to: &mut Vec<u8>) {
    let IpAddr::V4(address) = address else {
        // Writing to a Vec cannot fail.
        let _ = write!(to, "{address}");
        return;
    };
    let [a, b, c, d] = address.octets();
    number(a.into(), to);
    for octet in [b, c, d] {
        text(".", to);
        number(octet.into(), to);
    }
}

/// Text of strangers: control characters are escaped, so that it can neither end the line nor drive the terminal.
fn clean(words: &str, to: &mut Vec<u8>) {
    // The first bytes of U+0080 to U+009F, the other control characters, are 0xc2.
    if words.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != 0xc2) {
        return text(words, to);
    }
    for c in words.chars() {
        let mut own = [0; 4];
        if c.is_control() {
            c.escape_default().for_each(|c| text(c.encode_utf8(&mut own), to));
        } else {
            text(c.encode_utf8(&mut own), to);
        }
    }
}

/// A duration as Go prints it: `2.87ms`, `432.191µs`, `1.2s`, `1m2.5s`.
pub(super) struct GoDuration(pub(super) Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => decimal(nanos, 1_000, "µs", f),
            1_000_000..1_000_000_000 => decimal(nanos, 1_000_000, "ms", f),
            _ => {
                let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => {}
                    (0, minutes) => write!(f, "{minutes}m")?,
                    (hours, minutes) => write!(f, "{hours}h{minutes}m")?,
                }
                decimal(rest, 1_000_000_000, "s", f)
            }
        }
    }
}

/// `number` divided by `unit`, a power of ten, exactly and without closing zeros.
fn decimal(number: u64, unit: u64, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = itoa::Buffer::new();
    f.write_str(digits.format(number / unit))?;
    let rest = number % unit;
    if rest > 0 {
        f.write_str(".")?;
        // A leading one keeps the zeros.
        let rest = digits.format(rest + unit);
        f.write_str(rest.get(1..).unwrap_or_default().trim_end_matches('0'))?;
    }
    f.write_str(word)
}
