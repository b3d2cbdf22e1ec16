// SPDX-License-Identifier: Apache-2.0
//! Which traces are recorded. Decided by the trace id, so that the kernel side, which tells other hosts, and user
//! space, and every span of a trace, decide alike.

use crate::trace::TraceId;

/// Trace flag "sampled" (W3C Trace Context level 1, section 3.2.2.5).
const SAMPLED: u8 = 1;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Whether the flags of a caller decide, where there is a caller.
    pub parent_based: bool,
    /// A trace is sampled when the lower 63 bits of its id are below this.
    pub below: u64,
}

impl Sampling {
    /// More than any trace id has.
    pub const ALL: u64 = 1 << 63;

    /// All traces, but for those that a caller does not record.
    pub const DEFAULT: Self = Self { parent_based: true, below: Self::ALL };

    /// The flags of a span of `trace`, whose caller, if it has one, has `caller`.
    #[must_use]
    pub fn flags(self, trace: TraceId, caller: Option<u8>) -> u8 {
        match caller {
            Some(flags) if self.parent_based => flags,
            Some(flags) if self.takes(trace) => flags | SAMPLED,
            Some(flags) => flags & !SAMPLED,
            None => u8::from(self.takes(trace)),
        }
    }

    fn takes(self, trace: TraceId) -> bool {
        let [_, _, _, _, _, _, _, _, low @ ..] = trace.0;
        u64::from_be_bytes(low) >> 1 < self.below
    }
}

/// Whether a span with these flags is recorded.
#[must_use]
pub const fn is_sampled(flags: u8) -> bool {
    flags & SAMPLED == SAMPLED
}
