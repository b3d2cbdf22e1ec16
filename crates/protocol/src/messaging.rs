// SPDX-License-Identifier: Apache-2.0
//! What an exchange with a message broker is, whoever saw it: what was done to which destination → [`Operation`],
//! by the OpenTelemetry semantic conventions for messaging.

use std::borrow::Cow;
use std::sync::Arc;

use vor_model::semconv::{DURATION_BUCKETS, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT};
use vor_model::{
    Attrs, Family, Group, Headline, Instrument, Key, Kind, Measure, Operation, Status,
};

use crate::http::Authority;

const SYSTEM: Key = Key::new("messaging.system");
const OPERATION: Key = Key::new("messaging.operation.name");
const OPERATION_TYPE: Key = Key::new("messaging.operation.type");
const DESTINATION: Key = Key::new("messaging.destination.name");
const PARTITION: Key = Key::new("messaging.destination.partition.id");
const CLIENT: Key = Key::new("messaging.client.id");

static DURATION: Family = Family {
    name: "messaging.client.operation.duration",
    standard: true,
    group: Group::Application,
    unit: "s",
    help: "Duration of exchanges with message brokers",
    instrument: Instrument::Histogram(DURATION_BUCKETS),
    measure: Measure::Duration,
    labels: &[SYSTEM, OPERATION, DESTINATION, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT],
    optional: &[PARTITION, CLIENT],
};

/// Every family that messaging feeds.
pub static FAMILIES: &[&Family] = &[&DURATION];

/// What is done with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// They are given to the broker.
    Send,
    /// The broker is asked for them.
    Poll,
}

/// Messages that were given or taken by one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    /// The kind of broker, as `messaging.system` names it.
    pub system: &'static str,
    /// What was done.
    pub work: Work,
    /// The topic or queue.
    pub destination: Arc<str>,
    /// The part of it, when known.
    pub partition: Option<u32>,
    /// What the client calls itself; empty when that is not known.
    pub client: Arc<str>,
    /// Whether it failed.
    pub failed: bool,
    /// The broker, when it is named.
    pub server: Option<Authority>,
}

impl Messages {
    /// The operation that it was for the client.
    #[must_use]
    pub fn operation(self) -> Operation {
        let Self { system, work, destination, partition, client, failed, server } = self;
        let (verb, kind, type_) = match work {
            Work::Send => ("send", Kind::Producer, "send"),
            Work::Poll => ("poll", Kind::Consumer, "receive"),
        };
        let mut attrs = Attrs::new()
            .with(SYSTEM, system)
            .with(OPERATION, verb)
            .with(OPERATION_TYPE, type_)
            .with(DESTINATION, Arc::clone(&destination));
        if let Some(partition) = partition {
            attrs.set(PARTITION, partition.to_string());
        }
        if !client.is_empty() {
            attrs.set(CLIENT, client);
        }
        if failed {
            attrs.set(ERROR_TYPE, "_OTHER");
        }
        if let Some(Authority { host, port }) = server {
            attrs.set(SERVER_ADDRESS, host);
            if let Some(port) = port {
                attrs.set(SERVER_PORT, port);
            }
        }
        Operation {
            protocol: system,
            kind,
            name: format!("{verb} {destination}").into(),
            status: if failed { Status::Error("".into()) } else { Status::Unset },
            headline: Headline {
                label: "KafkaClient",
                code: failed.into(),
                verb: Cow::Borrowed(verb),
                object: destination,
                size: 0,
            },
            families: FAMILIES,
            context: None,
            handled: None,
            attrs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_named_by_what_is_done_to_which_destination() {
        let messages = |work, failed| Messages {
            system: "kafka",
            work,
            destination: "orders".into(),
            partition: Some(2),
            client: "".into(),
            failed,
            server: None,
        };
        let sent = messages(Work::Send, false).operation();
        assert_eq!(
            (&*sent.name, sent.kind, sent.status),
            ("send orders", Kind::Producer, Status::Unset)
        );
        let polled = messages(Work::Poll, true).operation();
        assert_eq!((&*polled.name, polled.kind), ("poll orders", Kind::Consumer));
        assert!(matches!(polled.status, Status::Error(_)));
    }
}
