// SPDX-License-Identifier: Apache-2.0
//! What crosses between kernel and user space: generated from every `wire.h`, `lib/lost.h` and `maps/admit.h`.
//!
//! `struct socket_record` is [`SocketRecord`] here; constants keep their names and are `u32`.
#![allow(
    missing_docs,
    non_camel_case_types,
    clippy::pedantic,
    clippy::as_conversions,
    reason = "generated; the headers are the documentation"
)]

include!(concat!(env!("OUT_DIR"), "/wire.rs"));
