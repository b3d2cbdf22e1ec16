// SPDX-License-Identifier: Apache-2.0
//! One line of text per span, in the fields and the order of Beyla's printer.
//!
//! The time stamp is local time with a true fraction of a second; Beyla's is not one.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vor_model::semconv::{CLIENT_ADDRESS, SERVER_ADDRESS};
use vor_model::{Clock, Endpoint, Key, Span, SpanId, Status};

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

    fn write(&mut self, at: SystemTime, to: &mut Vec<u8>) -> std::io::Result<()> {
        let at = Timestamp::try_from(at).unwrap_or_default();
        if at.as_second() != self.second {
            self.second = at.as_second();
            let local = at.to_zoned(self.zone.clone());
            self.text = local.strftime("%Y-%m-%d %H:%M:%S").to_string();
        }
        write!(to, "{}.{:06}", self.text, at.subsec_nanosecond().unsigned_abs() / 1_000)
    }
}

/// Writes the line of `span`, with its end.
pub(super) fn write(
    span: &Span,
    clock: &Clock,
    stamps: &mut Stamps,
    colour: bool,
    to: &mut Vec<u8>,
) {
    // Writing to a Vec cannot fail.
    let _ = line(span, clock, stamps, colour, to);
}

fn line(
    span: &Span,
    clock: &Clock,
    stamps: &mut Stamps,
    colour: bool,
    to: &mut Vec<u8>,
) -> std::io::Result<()> {
    let paint = |code| if colour { code } else { "" };
    let bad = matches!(span.operation.status, Status::Error(_));
    let headline = &span.operation.headline;
    let took = GoDuration(span.time.duration());
    to.write_all(paint(DIM).as_bytes())?;
    stamps.write(clock.wall(span.time.start), to)?;
    write!(to, "{} ({took}[{took}]) {} ", paint(PLAIN), headline.label)?;
    let mark = if bad { RED } else { GREEN };
    write!(to, "{}{}{} ", paint(mark), headline.code, paint(PLAIN))?;
    write!(to, "{} {} ", Clean(&headline.verb), Clean(&headline.object))?;
    let (conn, side) = (&span.origin.conn, span.origin.side);
    end(span, conn.client(side), &CLIENT_ADDRESS, to)?;
    to.write_all(b"->")?;
    end(span, conn.server(side), &SERVER_ADDRESS, to)?;
    let service = &span.service;
    write!(to, " size:{}B svc=[", headline.size)?;
    if !service.namespace.is_empty() {
        write!(to, "{}/", Clean(&service.namespace))?;
    }
    write!(to, "{} {}] ", Clean(&service.name), service.language.as_str())?;
    let parent = span.parent.unwrap_or(SpanId([0; 8]));
    write!(to, "{}traceparent=[00-{}-{}[{parent}]", paint(DIM), span.trace, span.id)?;
    writeln!(to, "-{:02x}]{}", span.flags, paint(PLAIN))
}

/// `[address as name:port]`; the name is the address when it is not known.
fn end(span: &Span, at: &Endpoint, name: &Key, to: &mut Vec<u8>) -> std::io::Result<()> {
    let address = match at {
        Endpoint::Inet(at) => at.ip().to_string(),
        Endpoint::Unix(_) => at.to_string(),
    };
    let name = span.operation.attrs.get(name).and_then(|name| name.as_str());
    let name = name.filter(|name| !name.is_empty()).unwrap_or(&address);
    let port = at.port().unwrap_or_default();
    write!(to, "[{} as {}:{port}]", Clean(&address), Clean(name))
}

/// A duration as Go prints it: `2.87ms`, `432.191µs`, `1.2s`, `1m2.5s`.
pub(super) struct GoDuration(pub(super) Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}µs", Decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", Decimal(nanos, 1_000_000)),
            _ => {
                let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => {}
                    (0, minutes) => write!(f, "{minutes}m")?,
                    (hours, minutes) => write!(f, "{hours}h{minutes}m")?,
                }
                write!(f, "{}s", Decimal(rest, 1_000_000_000))
            }
        }
    }
}

/// The first divided by the second, a power of ten, exactly and without closing zeros.
struct Decimal(u128, u128);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, unit) = *self;
        write!(f, "{}", number / unit)?;
        let (mut rest, mut unit) = (number % unit, unit);
        if rest > 0 {
            f.write_str(".")?;
        }
        while rest > 0 {
            unit /= 10;
            write!(f, "{}", rest / unit)?;
            rest %= unit;
        }
        Ok(())
    }
}

/// Text of strangers: control characters are escaped, so that it can neither end the line nor drive the terminal.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.chars().any(char::is_control) {
            return f.write_str(self.0);
        }
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}
