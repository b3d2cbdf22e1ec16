// SPDX-License-Identifier: Apache-2.0
//! Trace identities (W3C Trace Context).

use std::fmt;

/// A trace, 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// A span, 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpanId(pub [u8; 8]);

/// Where in a trace something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that caused this one.
    pub parent: Option<SpanId>,
    /// Flags byte; bit 0 is "sampled".
    pub flags: u8,
}

/// The place of a span in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracePlace {
    /// The trace.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Flags byte; bit 0 is "sampled".
    pub flags: u8,
    /// How the parent was found; `None` when there is none.
    pub method: Option<ParentMethod>,
}

/// How the parent of a span was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParentMethod {
    /// The message itself names it.
    Header,
    /// A packet's options name it.
    TcpOption,
    /// Both ends of the connection are observed.
    SocketPair,
    /// The same task serves it.
    Task,
    /// The work was handed over by its task.
    Item,
    /// Its task, or one that it created, created the task.
    Ancestor,
    /// Of several requests that the task served, only it was not over.
    OnlyCandidate,
}

impl ParentMethod {
    /// Its name as the value of `vor.parent.method`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::TcpOption => "tcp-option",
            Self::SocketPair => "socket-pair",
            Self::Task => "task",
            Self::Item => "item",
            Self::Ancestor => "ancestor",
            Self::OnlyCandidate => "only-candidate",
        }
    }
}

impl TraceContext {
    /// Reads the value of a `traceparent` header (W3C Trace Context level 1, section 3.2).
    /// Versions above 00 are read by their first four fields, as the specification asks. `ff` is refused.
    #[must_use]
    pub fn from_traceparent(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let version = hex::<1>(value.get(..2)?)?;
        let dashes = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
        let whole = match version {
            [0xff] => false,
            [0] => value.len() == 55,
            _ => value.len() == 55 || value.get(55) == Some(&b'-'),
        };
        let trace = hex::<16>(value.get(3..35)?)?;
        let parent = hex::<8>(value.get(36..52)?)?;
        let [flags] = hex::<1>(value.get(53..55)?)?;
        (dashes && whole && trace != [0; 16] && parent != [0; 8]).then_some(Self {
            trace: TraceId(trace),
            parent: Some(SpanId(parent)),
            flags,
        })
    }
}

/// Lower-case hexadecimal only, as the specification demands of values it has not refused before.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut pairs = digits.chunks_exact(2);
    for byte in &mut bytes {
        let [high, low] = pairs.next()? else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// The hexadecimal digit of 0 to 15.
const fn character(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }
}

macro_rules! hex_fmt {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Four words to a line in every printer: worth more than `{:02x}` per byte.
                let mut text = [0; size_of::<Self>() * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair.copy_from_slice(&[character(byte >> 4), character(byte & 0xf)]);
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
hex_fmt!(TraceId, SpanId);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_whole_or_not_at_all() {
        let context = TraceContext::from_traceparent(GOOD.as_bytes()).unwrap();
        assert_eq!(context.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert_eq!(context.flags, 1);
        for cut in 0..GOOD.len() {
            assert_eq!(TraceContext::from_traceparent(&GOOD.as_bytes()[..cut]), None);
        }
    }

    #[test]
    fn zero_ids_version_ff_upper_case_and_trailing_bytes_are_refused() {
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceContext::from_traceparent(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert!(TraceContext::from_traceparent(later.as_bytes()).is_some());
    }
}
