// SPDX-License-Identifier: Apache-2.0
//! Which traces are exported: the samplers of the OpenTelemetry specification (trace SDK, "Built-in samplers").

use serde::Deserialize;
use vor_model::Span;

use super::config::SamplerConfig;

/// The samplers by the names that `OTEL_TRACES_SAMPLER` has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerName {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A part of them, chosen by the trace id.
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    /// As the caller's flags say; all traces that begin here.
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// As the caller's flags say; no trace that begins here.
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// As the caller's flags say; a part of the traces that begin here.
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

/// Decides span by span, alike for all spans of a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampler {
    parent_based: bool,
    /// A trace is kept when the lower 63 bits of its id are below this.
    below: u64,
}

/// More than any trace id has.
const ALL: u64 = 1 << 63;

impl Sampler {
    pub(super) fn new(config: &SamplerConfig) -> Self {
        let ratio = part(config.arg);
        let (parent_based, below) = match config.name {
            SamplerName::AlwaysOn => (false, ALL),
            SamplerName::AlwaysOff => (false, 0),
            SamplerName::TraceIdRatio => (false, ratio),
            SamplerName::ParentBasedAlwaysOn => (true, ALL),
            SamplerName::ParentBasedAlwaysOff => (true, 0),
            SamplerName::ParentBasedTraceIdRatio => (true, ratio),
        };
        Self { parent_based, below }
    }

    /// Whether `span` is exported.
    pub(super) fn keeps(self, span: &Span) -> bool {
        if self.parent_based && span.parent.is_some() {
            return span.flags & 1 == 1;
        }
        let [_, _, _, _, _, _, _, _, low @ ..] = span.trace.0;
        u64::from_be_bytes(low) >> 1 < self.below
    }
}

/// `ratio` of [`ALL`].
#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates at both ends; the last bits of a probability do not matter"
)]
fn part(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * ALL as f64) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vor_model::{SpanId, TraceId};

    use super::*;
    use crate::sample::answered;

    fn kept(name: SamplerName, arg: f64, parent: bool, flags: u8) -> usize {
        let sampler = Sampler::new(&SamplerConfig { name, arg });
        let mut random = fastrand::Rng::with_seed(7);
        let mut span = answered(Duration::from_millis(1), 0);
        span.parent = parent.then_some(SpanId([1; 8]));
        span.flags = flags;
        let spans = (0..1_000).filter(|_| {
            span.trace = TraceId(random.u128(1..).to_ne_bytes());
            sampler.keeps(&span)
        });
        spans.count()
    }

    #[test]
    fn each_sampler_keeps_its_part() {
        assert_eq!(kept(SamplerName::AlwaysOn, 0.0, false, 0), 1_000);
        assert_eq!(kept(SamplerName::AlwaysOff, 1.0, true, 1), 0);
        let quarter = kept(SamplerName::TraceIdRatio, 0.25, true, 1);
        assert!((200..300).contains(&quarter), "{quarter}");
        assert_eq!(kept(SamplerName::TraceIdRatio, 1.0, false, 1), 1_000);
        assert_eq!(kept(SamplerName::ParentBasedAlwaysOn, 1.0, true, 0), 0);
        assert_eq!(kept(SamplerName::ParentBasedAlwaysOn, 1.0, false, 0), 1_000);
        assert_eq!(kept(SamplerName::ParentBasedAlwaysOff, 1.0, true, 1), 1_000);
        assert_eq!(kept(SamplerName::ParentBasedTraceIdRatio, 0.0, false, 1), 0);
    }
}
