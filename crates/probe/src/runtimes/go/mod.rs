// SPDX-License-Identifier: Apache-2.0
//! Go: what libraries of a Go program do, seen at the entries and returns of their functions.
//!
//! A library is one folder: what it wants of a program ([`Library`], data), programs that stand in its functions,
//! and how their records become operations. A goroutine is the caller; threads say nothing in Go. Function returns
//! are watched at each return instruction, because a return probe of the kernel would be lost when a stack moves.
//!
//! Go 1.17 and later, which pass arguments in registers. An older program is left to the other tracers.

mod call;
pub mod db;
pub mod grpc;
pub mod http;
pub mod kafka;
mod library;
pub mod sched;
#[cfg(test)]
mod tests;
pub mod tls;
mod unit;
pub mod write;

pub use library::{Field, Library, Spot, When};

/// What is asked of every Go program, at once: all that any library wants.
pub const LIBRARIES: &[&Library] = &[
    &sched::LIBRARY,
    &tls::LIBRARY,
    &http::LIBRARY,
    &grpc::LIBRARY,
    &db::LIBRARY,
    &kafka::LIBRARY,
    &write::LIBRARY,
];
