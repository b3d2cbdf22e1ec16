// SPDX-License-Identifier: Apache-2.0
//! Bytes → operations. One folder per protocol; this file holds the seam and the list.
//!
//! In: [`Exchange`]s (and, for connections that asked for it, [`Message`]s) of one connection, in order.
//! Out: [`Done`] operations. Nothing here knows sockets, tasks, exporters or time zones.

pub mod claim;
pub mod cursor;
pub mod db;
pub mod grpc;
pub mod http;
mod http1;
pub mod messaging;

use vor_model::{Connection, Done, Exchange, Family, Interval, Message, Side};

/// A protocol: pure, stateless, listed once in [`ALL`].
pub trait Protocol: Sync {
    /// Its constant facts.
    fn info(&self) -> &'static Info;
    /// How sure it is that this first exchange of a connection is its own. Pure and cheap.
    /// The caller, not the protocol, tries the exchange the other way round.
    fn claim(&self, first: &Exchange) -> Claim;
    /// Begins to follow a connection that it claimed.
    fn open(&self, about: &Opening<'_>) -> Box<dyn Conversation>;
}

/// Constant facts of a protocol.
#[derive(Debug)]
pub struct Info {
    /// Its name in selection lists (`http`, `redis`, …).
    pub name: &'static str,
    /// Ports that are usual for it; only a hint for ties.
    pub ports: &'static [u16],
    /// Metric families that its operations may feed.
    pub families: &'static [&'static Family],
}

/// What is known of a connection when it is claimed.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The part the observed process plays.
    pub side: Side,
    /// The connection.
    pub conn: &'a Connection,
    /// Whether its first byte was seen.
    pub from_start: bool,
}

/// How sure a protocol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Not mine.
    No,
    /// Could be; a surer claim wins.
    Maybe,
    /// Mine.
    Sure,
}

/// State of one connection.
pub trait Conversation: Send {
    /// Reads the next exchange, which lasted `time`. Operations that are finished by it go to `out`, which may be
    /// none (a body continues) or several (pipelining).
    fn read(
        &mut self,
        exchange: &Exchange,
        time: Interval,
        out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable>;

    /// Reads the next message of a connection for which [`Next::Messages`] was asked, seen at `time`.
    fn hear(
        &mut self,
        message: &Message,
        time: Interval,
        out: &mut Vec<Done>,
    ) -> Result<Next, Unreadable>;

    /// The connection ended: operations that wait for nothing more than that go to `out`.
    fn close(&mut self, out: &mut Vec<Done>);
}

/// How the kernel side shall treat the connection from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    /// As before.
    #[default]
    Same,
    /// Send its messages one by one, in order: many exchanges run on it at once.
    Messages,
    /// Nothing more on it can be understood (an upgrade, a tunnel): leave it alone.
    Ignore,
}

/// Why bytes were not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They stop before this part.
    #[error("cut before {0}")]
    Cut(&'static str),
    /// They contradict the protocol.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// More is outstanding on the connection than is kept track of.
    #[error("too many {0}")]
    TooMany(&'static str),
}

/// What units of libraries tell, whose protocols are not in [`ALL`].
pub static LIBRARIES: [&[&Family]; 3] = [grpc::FAMILIES, db::FAMILIES, messaging::FAMILIES];

/// Every protocol. The surest claim wins; among equals, the first.
pub static ALL: &[&dyn Protocol] = &[&http1::Http1];
