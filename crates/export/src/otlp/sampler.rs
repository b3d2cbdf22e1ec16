// SPDX-License-Identifier: Apache-2.0
//! Which traces are exported: the samplers of the OpenTelemetry specification (trace SDK, "Built-in samplers").
//! They decide when a span begins ([`Sampling`]); what is exported follows from the span's flags.

use serde::Deserialize;
use vor_model::Sampling;

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

impl SamplerConfig {
    /// What it decides about a trace.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let ratio = part(self.arg);
        let (parent_based, below) = match self.name {
            SamplerName::AlwaysOn => (false, Sampling::ALL),
            SamplerName::AlwaysOff => (false, 0),
            SamplerName::TraceIdRatio => (false, ratio),
            SamplerName::ParentBasedAlwaysOn => (true, Sampling::ALL),
            SamplerName::ParentBasedAlwaysOff => (true, 0),
            SamplerName::ParentBasedTraceIdRatio => (true, ratio),
        };
        Sampling { parent_based, below }
    }
}

/// `ratio` of [`Sampling::ALL`].
#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates at both ends; the last bits of a probability do not matter"
)]
fn part(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * Sampling::ALL as f64) as u64
}

#[cfg(test)]
mod tests {
    use vor_model::TraceId;
    use vor_model::sampling::is_sampled;

    use super::*;

    fn kept(name: SamplerName, arg: f64, caller: Option<u8>) -> usize {
        let sampling = SamplerConfig { name, arg }.sampling();
        let mut random = fastrand::Rng::with_seed(7);
        let mut id = || TraceId(random.u128(1..).to_ne_bytes());
        (0..1_000).filter(|_| is_sampled(sampling.flags(id(), caller))).count()
    }

    #[test]
    fn each_sampler_keeps_its_part() {
        assert_eq!(kept(SamplerName::AlwaysOn, 0.0, Some(0)), 1_000);
        assert_eq!(kept(SamplerName::AlwaysOff, 1.0, Some(1)), 0);
        let quarter = kept(SamplerName::TraceIdRatio, 0.25, Some(1));
        assert!((200..300).contains(&quarter), "{quarter}");
        assert_eq!(kept(SamplerName::TraceIdRatio, 1.0, None), 1_000);
        assert_eq!(kept(SamplerName::ParentBasedAlwaysOn, 1.0, Some(0)), 0);
        assert_eq!(kept(SamplerName::ParentBasedAlwaysOn, 1.0, None), 1_000);
        assert_eq!(kept(SamplerName::ParentBasedAlwaysOff, 1.0, Some(1)), 1_000);
        assert_eq!(kept(SamplerName::ParentBasedTraceIdRatio, 0.0, None), 0);
    }
}
