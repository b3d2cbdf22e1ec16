// SPDX-License-Identifier: Apache-2.0
//! How long name servers take: what lookups feed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use vor_model::semconv::{
    CLIENT_ADDRESS, CLIENT_PORT, DURATION_BUCKETS, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT,
};
use vor_model::{
    DnsLookup, Exemplar, Family, Group, Instrument, Key, Measure, Mono, Service, Value,
};

use crate::{Attributed, Measured};

const QUESTION: Key = Key::new("dns.question.name");
const QUESTION_TYPE: Key = Key::new("dns.question.type");

pub(super) static LOOKUPS: Family = Family {
    name: "dns.lookup.duration",
    standard: true,
    group: Group::Stats,
    unit: "s",
    help: "Time from a question on the network to its answer, or until nobody waits for one",
    instrument: Instrument::Histogram(DURATION_BUCKETS),
    measure: Measure::Attribute(DURATION),
    labels: &[QUESTION, ERROR_TYPE, SERVER_ADDRESS],
    optional: &[QUESTION_TYPE, CLIENT_ADDRESS, CLIENT_PORT, SERVER_PORT],
};

/// What a lookup feeds.
static OF_LOOKUPS: &[&Family] = &[&LOOKUPS];

/// Not an attribute that is shown: the time that a lookup took, where the question was seen.
const DURATION: Key = Key::new("dns.duration");

impl Attributed for DnsLookup {
    fn attribute(&self, key: &Key) -> Option<Cow<'_, Value>> {
        let value = match key {
            key if *key == DURATION => Value::Float(self.at.since(self.asked?).as_secs_f64()),
            key if *key == QUESTION => Value::from(self.name.clone()),
            key if *key == QUESTION_TYPE => question_type(self.kind),
            key if *key == ERROR_TYPE => error(self.code)?,
            key if *key == CLIENT_ADDRESS => self.client.ip.to_string().into(),
            key if *key == CLIENT_PORT => self.client.port.into(),
            key if *key == SERVER_ADDRESS => self.server.ip.to_string().into(),
            key if *key == SERVER_PORT => self.server.port.into(),
            _ => return None,
        };
        Some(Cow::Owned(value))
    }
}

impl Measured for DnsLookup {
    fn families(&self) -> &'static [&'static Family] {
        OF_LOOKUPS
    }

    fn service(&self) -> Option<&Arc<Service>> {
        None
    }

    fn protocol(&self) -> &'static str {
        ""
    }

    fn duration(&self) -> Duration {
        self.at.since(self.asked.unwrap_or(Mono(u64::MAX)))
    }

    fn exemplar(&self, _value: f64) -> Option<Exemplar> {
        None
    }
}

/// Types of questions (IANA "Domain Name System (DNS) Parameters").
fn question_type(kind: u16) -> Value {
    let word = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        other => return other.into(),
    };
    word.into()
}

/// Response codes (the same page); success is no error, silence is one.
fn error(code: Option<u8>) -> Option<Value> {
    let Some(code) = code else { return Some("timeout".into()) };
    let word = match code {
        0 => return None,
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return Some(u16::from(other).into()),
    };
    Some(word.into())
}
