// SPDX-License-Identifier: Apache-2.0
//! How long a JVM is waited for: until its time is over, vor ends, or the process does.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Refusal;

/// The longest pause.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// The time of one attempt.
pub(super) struct Time<'a> {
    pub(super) end: Instant,
    pub(super) limit: Duration,
    /// Whether vor is ending.
    pub(super) ending: &'a AtomicBool,
    /// Readable when the process has ended.
    pub(super) process: BorrowedFd<'a>,
}

impl Time<'_> {
    /// What is left of it; an error when there is nothing to wait for any more.
    pub(super) fn left(&self) -> Result<Duration, Refusal> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(Refusal::Ending);
        }
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Refusal::Silent(self.limit)) } else { Ok(left) }
    }

    /// Waits a moment.
    pub(super) fn pause(&self) -> Result<(), Refusal> {
        self.moment(&mut [PollFd::new(&self.process, PollFlags::IN)])
    }

    /// Waits a moment, or until `of` is ready.
    pub(super) fn wait(&self, of: &impl AsFd, ready: PollFlags) -> Result<(), Refusal> {
        self.moment(&mut [PollFd::new(&self.process, PollFlags::IN), PollFd::new(of, ready)])
    }

    fn moment(&self, descriptors: &mut [PollFd<'_>]) -> Result<(), Refusal> {
        let moment = Timespec::try_from(self.left()?.min(POLL));
        let moment = moment.map_err(|_| Refusal::Silent(self.limit))?;
        // Interrupted is as good as over.
        let _ = poll(descriptors, Some(&moment));
        let ended = descriptors.first().is_some_and(|process| !process.revents().is_empty());
        if ended { Err(Refusal::Gone) } else { Ok(()) }
    }
}
