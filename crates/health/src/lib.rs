// SPDX-License-Identifier: Apache-2.0
//! How vor itself is doing: verdicts of its units and counters of what it took, gave and lost.
//!
//! In: any crate calls [`Board`]. Out: the admin page, `vor check`, internal metrics read one snapshot.

mod board;
mod verdict;

pub use board::{Board, Counter, Reading, count};
pub use verdict::Verdict;
