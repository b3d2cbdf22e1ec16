// SPDX-License-Identifier: Apache-2.0
//! The nouns of vor: what every other crate talks about.
//!
//! Nothing here does anything; acts live in the crates that perform them (discover → probe → protocol →
//! pipeline → export). No protocol, runtime or exporter is named here.

pub mod attrs;
pub mod capture;
pub mod dns;
pub mod flow;
pub mod labels;
pub mod metric;
pub mod net;
pub mod process;
pub mod sampling;
pub mod semconv;
pub mod service;
pub mod span;
pub mod time;
pub mod trace;

pub use attrs::{Attrs, Key, Value};
pub use capture::{Captured, Ending, Exchange, Life, LifeEvent, Message, Origin, TaskName};
pub use dns::DnsLookup;
pub use flow::{EndFacts, Flow, FlowEnd, FlowKey, Initiator, Passage, TcpStats};
pub use labels::Labels;
pub use metric::{
    Exemplar, Exponential, Family, Group, Histogram, Instrument, Measure, Number, Point,
};
pub use net::{ConnId, Connection, Endpoint, Lookup, Place, Side, Transport, Workload};
pub use process::{Language, Process, ProcessKey};
pub use sampling::Sampling;
pub use service::Service;
pub use span::{Done, Headline, Kind, Operation, Span, Status};
pub use time::{Clock, Interval, Mono};
pub use trace::{ParentMethod, SpanId, TraceContext, TraceId, TracePlace};
