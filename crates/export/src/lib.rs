// SPDX-License-Identifier: Apache-2.0
//! Spans and metrics → where people look at them. One folder per exporter; this file holds the list.
//!
//! In: batches from an [`Inbox`](vor_pipeline::Inbox) and snapshots of the meter. Out: bytes. An exporter knows
//! attributes, not protocols.

pub mod print;
pub mod prometheus;

#[cfg(test)]
mod sample;
