// SPDX-License-Identifier: Apache-2.0
//! What vor says about itself: one line per event on standard error, colours on a terminal only.

use std::io::{self, IsTerminal};

use crate::config::LogLevel;

/// Starts the log at `level`; a second start changes nothing.
pub(crate) fn start(level: LogLevel) {
    let lines = tracing_subscriber::fmt()
        .with_max_level(level.0)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // Fails only where a log runs already, which then goes on.
    let _ = lines.try_init();
}
