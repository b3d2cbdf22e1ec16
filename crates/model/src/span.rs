// SPDX-License-Identifier: Apache-2.0
//! What was done, and the span we publish of it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::attrs::Attrs;
use crate::capture::Origin;
use crate::metric::Family;
use crate::net::Side;
use crate::service::Service;
use crate::time::{Interval, Mono};
use crate::trace::{SpanId, TraceContext, TraceId};

/// What was done, in the words of the semantic conventions. Made by a protocol; nobody after it asks which one.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Name of the protocol that understood it, for selection lists (`http`, `sql`, …) and nothing else.
    pub protocol: &'static str,
    /// Span kind.
    pub kind: Kind,
    /// Span name.
    pub name: Cow<'static, str>,
    /// How it went.
    pub status: Status,
    /// What one line about it says.
    pub headline: Headline,
    /// The metric families it feeds.
    pub families: &'static [&'static Family],
    /// The context it arrived with, or was sent with by the program itself.
    pub context: Option<TraceContext>,
    /// Of a server: when its handler began; what came before was waiting in a queue.
    pub handled: Option<Mono>,
    /// Everything else.
    pub attrs: Attrs,
}

/// An operation and the time it took, as a conversation hands it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// First byte of its request to last byte of its answer.
    pub time: Interval,
    /// What was done.
    pub operation: Operation,
}

/// What a line that shows an operation says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// What it is (`HTTPClient`, `SQLClient`, …), Beyla's event names.
    pub label: &'static str,
    /// The protocol's own status number; 0 where it has none.
    pub code: u32,
    /// What was asked for (`GET`, `SELECT`, …).
    pub verb: Cow<'static, str>,
    /// Of what (a path, a table, a key, …).
    pub object: Arc<str>,
    /// Bytes of the request's payload.
    pub size: u64,
}

/// OpenTelemetry span kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Answers a remote request.
    Server,
    /// Makes a remote request.
    Client,
    /// Puts a message where others take it.
    Producer,
    /// Takes a message that another put.
    Consumer,
    /// Neither.
    Internal,
}

impl From<Side> for Kind {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

/// OpenTelemetry span status. A protocol decides, exporters translate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Nothing to say.
    #[default]
    Unset,
    /// Explicitly good.
    Ok,
    /// It failed, and why (may be empty).
    Error(Cow<'static, str>),
}

/// What we publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace: TraceId,
    /// Itself.
    pub id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Trace flags; bit 0 is "sampled".
    pub flags: u8,
    /// From first to last byte. Replaces `origin.time`, which is the whole capture's.
    pub time: Interval,
    /// Who, where.
    pub origin: Origin,
    /// What.
    pub operation: Operation,
    /// On whose behalf.
    pub service: Arc<Service>,
}
