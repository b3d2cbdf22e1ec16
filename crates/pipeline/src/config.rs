// SPDX-License-Identifier: Apache-2.0
//! Settings of the span pipeline and of metrics in general.

use vor_config::Duration;
use vor_model::Key;

/// How captures become spans (`spans`).
#[derive(Debug, Clone, confique::Config)]
pub struct SpansConfig {
    /// Connections that are followed at once, at least 1. Beyond it the one that was silent longest is given up.
    #[config(default = 10_000, env = "SPANS_MAX_CONVERSATIONS")]
    pub max_conversations: usize,
    /// How long an operation waits for its process to get a name before it is given up.
    #[config(default = "2s", env = "SPANS_NAME_WAIT")]
    pub name_wait: Duration,
    /// Operations that may wait for a name at once.
    #[config(default = 1024, env = "SPANS_MAX_WAITING")]
    pub max_waiting: usize,
    /// How long the name of a process that ended is kept for its last operations.
    #[config(default = "5s", env = "SPANS_NAME_KEPT")]
    pub name_kept: Duration,
    /// Spans that may wait in front of each exporter, 1 to 2^24.
    #[config(default = 8_192, env = "SPANS_INBOX")]
    pub inbox: usize,
}

/// What holds for every metric exporter (`metrics`).
#[derive(Debug, Clone, confique::Config)]
pub struct MetricsConfig {
    /// First word of the names of metrics that no semantic convention names: beyla, obi or vor.
    #[config(default = "beyla", env = "METRICS_PREFIX")]
    pub prefix: Prefix,
    /// Series per metric, over all services. What is beyond goes into one overflow series per service.
    #[config(default = 5_000, env = "METRICS_MAX_SERIES")]
    pub max_series: usize,
}

/// First word of the names of metrics that no semantic convention names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefix {
    /// As Beyla names them.
    #[default]
    Beyla,
    /// As OpenTelemetry eBPF Instrumentation names them.
    Obi,
    /// Our own.
    Vor,
}

/// The agent's own address, as Beyla calls it.
pub(crate) const AGENT_IP: Key = Key::new("beyla.ip");

impl Prefix {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Beyla, Self::Obi, Self::Vor];

    /// `key` as it is shown: the one attribute that names the agent names this one.
    #[must_use]
    pub(crate) fn key(self, key: &Key) -> Key {
        match self {
            Self::Obi | Self::Vor if *key == AGENT_IP => format!("{}.ip", self.as_str()).into(),
            _ => key.clone(),
        }
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beyla => "beyla",
            Self::Obi => "obi",
            Self::Vor => "vor",
        }
    }
}

/// Bounds of histogram buckets.
#[derive(Debug, Clone, confique::Config)]
pub struct BucketsConfig {
    /// Of durations, in seconds. Not set: 0 to 10 seconds in 15 steps.
    pub duration_histogram: Option<Bounds>,
    /// Of sizes, in bytes. Not set: 0 to 8192 bytes in 10 steps.
    pub request_size_histogram: Option<Bounds>,
}

/// Upper bounds of histogram buckets: finite, each above the one before.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "Vec<f64>")]
pub struct Bounds(Vec<f64>);

impl Bounds {
    /// The bounds.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

impl TryFrom<Vec<f64>> for Bounds {
    type Error = &'static str;

    fn try_from(bounds: Vec<f64>) -> Result<Self, Self::Error> {
        let rising = bounds.is_sorted_by(|a, b| a < b);
        if rising && bounds.iter().all(|bound| bound.is_finite()) {
            Ok(Self(bounds))
        } else {
            Err("bounds of buckets must be numbers, each above the one before")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_do_not_rise_are_refused() {
        for (bounds, good) in [
            (vec![], true),
            (vec![0.0, 0.5, 10.0], true),
            (vec![1.0, 1.0], false),
            (vec![2.0, 1.0], false),
            (vec![f64::NAN], false),
            (vec![1.0, f64::INFINITY], false),
        ] {
            assert_eq!(Bounds::try_from(bounds.clone()).is_ok(), good, "{bounds:?}");
        }
    }
}
