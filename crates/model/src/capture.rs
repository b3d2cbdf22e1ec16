// SPDX-License-Identifier: Apache-2.0
//! What the kernel side hands to user space.

use bytes::Bytes;

use crate::net::{Connection, Side};
use crate::process::ProcessKey;
use crate::span::Done;
use crate::time::{Interval, Mono};
use crate::trace::TracePlace;

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Captured {
    /// Bytes still to be understood: one request and its answer.
    Exchange(Origin, Exchange),
    /// Bytes of one direction, of a connection whose messages are sent in order instead of in pairs.
    Message(Origin, Message),
    /// A library of the program was seen at work, so there are no bytes to understand.
    Operation(Origin, Box<Done>),
    /// The connection ended; nothing more will come of it.
    Closed(Origin),
    /// Something happened to a process.
    Life(Life),
}

/// Who saw it, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The observed process.
    pub process: ProcessKey,
    /// The thread that asked (client) or was asked (server), in the initial pid namespace.
    pub thread: u32,
    /// The connection.
    pub conn: Connection,
    /// The part the process plays, as the first bytes on the connection suggest.
    pub side: Side,
    /// Whether vor saw the connection from its first byte.
    pub from_start: bool,
    /// First byte of the request to last byte of the answer.
    pub time: Interval,
    /// Its place in a trace, where the kernel side has given it one.
    pub place: Option<TracePlace>,
}

/// What was said: one run of bytes each way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The request's first bytes.
    pub request: Bytes,
    /// How long the whole request was. More than `request.len()`: the capture was cut.
    pub request_len: u64,
    /// The answer's first bytes, empty when none came.
    pub response: Bytes,
    /// How long the whole answer was.
    pub response_len: u64,
    /// When the request's last byte passed.
    pub request_end: Mono,
    /// When the answer's first byte passed; zero when none came.
    pub response_start: Mono,
    /// Why it ended.
    pub ending: Ending,
}

/// Bytes of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who said it: the process's own side when it sent, the other one when it received.
    pub from: Side,
    /// Its first bytes.
    pub bytes: Bytes,
    /// How long the whole was.
    pub len: u64,
}

/// Why an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The answer was complete as far as the kernel side can tell: quiet, or the next request came.
    Answered,
    /// No answer came in the configured time.
    TimedOut,
    /// The connection was closed, with or without an answer.
    Closed,
}

/// Something happened to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// To whom.
    pub process: ProcessKey,
    /// What.
    pub event: LifeEvent,
}

/// A name that the kernel gives a task (`task_struct::comm`): at most 15 bytes of the name of its file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskName([u8; 16]);

impl TaskName {
    /// The name as the kernel keeps it: what follows the first NUL is nothing.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The name, never with a NUL; empty when it is not known.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// What can happen to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeEvent {
    /// It was created by another.
    Fork {
        /// The creator's pid.
        parent: u32,
    },
    /// It runs another program now.
    Exec {
        /// The name of the program's file, for a process that ends before it can be looked at.
        program: TaskName,
    },
    /// It ended.
    Exit,
    /// It accepts TCP connections on a port.
    Listen {
        /// The port, host order.
        port: u16,
    },
}
