// SPDX-License-Identifier: Apache-2.0
//! Was each outgoing call linked to the request that caused it? The numbers in the paths know, independently of vor.

use std::collections::{BTreeMap, BTreeSet};

use crate::collector::Span;

/// How many calls went which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Cases that were asked for.
    pub cases: usize,
    /// The call is a child of its own request.
    pub right: usize,
    /// The call is a child, or in the trace, of another one.
    pub wrong: usize,
    /// The call has no parent.
    pub unlinked: usize,
    /// There is no span of the request or none of the call.
    pub missing: usize,
    /// What vor says about how it found the parents.
    pub methods: BTreeMap<String, usize>,
}

impl Score {
    /// Scores the cases `0..cases`: `/case/N` is the request, `/down/N` the call.
    #[must_use]
    pub fn of(spans: &[Span], cases: usize) -> Self {
        let requests = by_number(spans, true);
        let calls = by_number(spans, false);
        let mut score = Self { cases, ..Self::default() };
        for n in 0..cases {
            let (Some(request), Some(call)) = (requests.get(&n), calls.get(&n)) else {
                score.missing += 1;
                continue;
            };
            let strangers = || requests.iter().filter(|(other, _)| **other != n);
            let strange = || strangers().any(|(_, other)| other.trace == call.trace);
            if call.parent == request.id && call.trace == request.trace {
                score.right += 1;
            } else if call.parent.is_empty() && !strange() {
                score.unlinked += 1;
            } else {
                score.wrong += 1;
            }
            let method = call.attr("vor.parent.method");
            if !method.is_empty() {
                *score.methods.entry(method.to_owned()).or_default() += 1;
            }
        }
        score
    }

    /// Shares in per cent: right/wrong/unlinked, and missing where there are some.
    #[must_use]
    pub fn shares(&self) -> String {
        let [right, wrong, unlinked, missing] =
            [self.right, self.wrong, self.unlinked, self.missing].map(|part| self.share(part));
        if self.missing == 0 {
            format!("{right}/{wrong}/{unlinked}")
        } else {
            format!("{right}/{wrong}/{unlinked}, {missing} missing")
        }
    }

    /// Per cent with one digit where it is not a whole number; what is there never looks like nothing.
    fn share(&self, part: usize) -> String {
        let mills = part * 1000 / self.cases.max(1);
        match (mills / 10, mills % 10) {
            (0, 0) if part > 0 => "<0.1".to_owned(),
            (whole, 0) => whole.to_string(),
            (whole, tenth) => format!("{whole}.{tenth}"),
        }
    }

    /// As one line for machines.
    #[must_use]
    pub fn json(&self, pattern: &str, clients: usize) -> String {
        serde_json::json!({
            "pattern": pattern,
            "clients": clients,
            "cases": self.cases,
            "right": self.right,
            "wrong": self.wrong,
            "unlinked": self.unlinked,
            "missing": self.missing,
            "shares": self.shares(),
            "methods": self.methods,
        })
        .to_string()
    }
}

/// Spans of one side by the number in their path. A number that is there twice belongs to nobody.
fn by_number(spans: &[Span], server: bool) -> BTreeMap<usize, &Span> {
    let mut found = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for span in spans.iter().filter(|span| span.server == server) {
        let (path, mark) = if server {
            (span.attr("url.path"), "/case/")
        } else {
            (span.attr("url.full"), "/down/")
        };
        let number = path.rsplit_once(mark).and_then(|(_, number)| number.parse().ok());
        let Some(number) = number else { continue };
        if found.insert(number, span).is_some() {
            twice.insert(number);
        }
    }
    found.retain(|number, _| !twice.contains(number));
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

    use super::*;

    fn span(server: bool, n: usize, trace: &str, id: &str, parent: &str) -> Span {
        let (key, value) = if server {
            ("url.path", format!("/case/{n}"))
        } else {
            ("url.full", format!("http://down/down/{n}"))
        };
        Span {
            resource: BTreeMap::new(),
            name: "GET".into(),
            server,
            kind: if server { SpanKind::Server } else { SpanKind::Client },
            status: 0,
            attrs: BTreeMap::from([(key.to_owned(), value)]),
            trace: trace.into(),
            id: id.into(),
            parent: parent.into(),
            start_ns: 0,
            time: Duration::ZERO,
        }
    }

    #[test]
    fn a_call_is_right_wrong_unlinked_or_missing() {
        let spans = [
            span(true, 0, "a", "1", ""),
            span(false, 0, "a", "2", "1"),
            span(true, 1, "b", "3", ""),
            span(false, 1, "a", "4", "1"),
            span(true, 2, "c", "5", ""),
            span(false, 2, "d", "6", ""),
            span(true, 3, "e", "7", ""),
        ];
        let score = Score::of(&spans, 5);
        assert_eq!((score.right, score.wrong, score.unlinked, score.missing), (1, 1, 1, 2));
        assert_eq!(score.shares(), "20/20/20, 40 missing");
    }

    #[test]
    fn the_trace_of_another_is_wrong_even_without_a_parent() {
        let spans = [
            span(true, 0, "a", "1", ""),
            span(true, 1, "b", "2", ""),
            span(false, 1, "a", "3", ""),
        ];
        assert_eq!(Score::of(&spans, 2).wrong, 1);
    }
}
