// SPDX-License-Identifier: Apache-2.0
//! Kernel time everywhere; wall time is made at the export edge, by [`Clock`] and nowhere else.

use std::time::{Duration, SystemTime};

/// Nanoseconds on one of the kernel's steady clocks (`CLOCK_MONOTONIC` unless a field says otherwise).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// Time from `earlier` to `self`; zero when the order is reversed.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// From the first to the last moment of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// First moment.
    pub start: Mono,
    /// Last moment, never before `start`.
    pub end: Mono,
}

impl Interval {
    /// How long it lasted.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.end.since(self.start)
    }
}

/// Maps kernel time to wall time. Taken anew now and then, because the wall clock is adjusted.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: SystemTime,
    mono: Mono,
}

impl Clock {
    /// A clock for which `mono` and `wall` are the same moment.
    #[must_use]
    pub const fn new(mono: Mono, wall: SystemTime) -> Self {
        Self { wall, mono }
    }

    /// Reads the wall clock for `mono`, which the caller has just read from `CLOCK_MONOTONIC`.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that makes wall time")]
    pub fn now_is(mono: Mono) -> Self {
        Self::new(mono, SystemTime::now())
    }

    /// The wall time of `at`.
    #[must_use]
    pub fn wall(&self, at: Mono) -> SystemTime {
        if at >= self.mono {
            self.wall + at.since(self.mono)
        } else {
            self.wall - self.mono.since(at)
        }
    }

    /// The wall time of `at` in nanoseconds since 1970; 0 when before it.
    #[must_use]
    pub fn unix_nanos(&self, at: Mono) -> u64 {
        let since = self.wall(at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_counts_both_ways_from_the_common_moment() {
        let clock = Clock::new(Mono(1_000), SystemTime::UNIX_EPOCH + Duration::from_micros(5));
        assert_eq!(clock.unix_nanos(Mono(1_500)), 5_500);
        assert_eq!(clock.unix_nanos(Mono(400)), 4_400);
    }
}
