// SPDX-License-Identifier: Apache-2.0
//! Which operation has which place in a trace.
//!
//! The kernel side gives a place to each record; a record may hold several requests, and a request may take
//! several records. The place belongs to the first operation that began with its record. What the kernel side
//! did not see gets a place here, without a parent unless the message names one.

use std::collections::VecDeque;

use vor_model::{Mono, ParentMethod, Sampling, SpanId, TraceContext, TraceId, TracePlace};

/// Places of one connection that wait for their operations: more requests than may wait for answers.
const MAX_WAITING: usize = 256;

/// The places on one connection whose operations are not finished.
#[derive(Debug, Default)]
pub(super) struct Places(VecDeque<(Mono, TracePlace)>);

impl Places {
    /// A record that began at `start` has `place`.
    pub(super) fn put(&mut self, start: Mono, place: TracePlace) {
        if self.0.len() == MAX_WAITING {
            self.0.pop_front();
        }
        self.0.push_back((start, place));
    }

    /// The place of an operation that began at `start`.
    pub(super) fn take(&mut self, start: Mono) -> Option<TracePlace> {
        let at = self.0.iter().position(|(began, _)| *began == start)?;
        self.0.remove(at).map(|(_, place)| place)
    }
}

/// Makes ids for what has none.
pub(super) struct Ids {
    random: fastrand::Rng,
    sampling: Sampling,
}

impl Ids {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self { random: fastrand::Rng::new(), sampling }
    }

    /// The place of an operation that the kernel side gave `place`, and whose message names `said`.
    pub(super) fn settle(
        &mut self,
        place: Option<TracePlace>,
        said: Option<TraceContext>,
    ) -> TracePlace {
        match (place, said) {
            (Some(place), None) => place,
            // The kernel side has read it too, and may know a parent that is nearer.
            (Some(place), Some(said)) if place.trace == said.trace => place,
            (place, Some(said)) => TracePlace {
                trace: said.trace,
                span: place.map_or_else(|| self.span(), |place| place.span),
                parent: said.parent,
                flags: self.sampling.flags(said.trace, Some(said.flags)),
                method: said.parent.map(|_| ParentMethod::Header),
            },
            (None, None) => {
                let trace = TraceId(self.random.u128(1..).to_ne_bytes());
                let flags = self.sampling.flags(trace, None);
                TracePlace { trace, span: self.span(), parent: None, flags, method: None }
            }
        }
    }

    fn span(&mut self) -> SpanId {
        SpanId(self.random.u64(1..).to_ne_bytes())
    }
}
