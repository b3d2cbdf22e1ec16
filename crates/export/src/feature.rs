// SPDX-License-Identifier: Apache-2.0
//! Groups of metrics, as settings of metric exporters name them.

use serde::Deserialize;

/// A group of metrics. All of Beyla's names are understood; [`Feature::is_provided`] says what vor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// What the observed programs ask and answer.
    Application,
    /// The same as span metrics.
    ApplicationSpan,
    /// Which service calls which.
    ApplicationServiceGraph,
    /// What processes use of the machine.
    ApplicationProcess,
    /// Which hosts are instrumented.
    ApplicationHost,
    /// Network flows.
    Network,
    /// Network flows between zones.
    NetworkInterZone,
    /// The kernel programs themselves.
    Ebpf,
}

impl Feature {
    /// Whether this version of vor has such metrics.
    #[must_use]
    pub const fn is_provided(self) -> bool {
        matches!(self, Self::Application)
    }

    /// Whether `features` ask for metrics of applications. Those that vor cannot provide are named in a warning
    /// of the exporter `unit`.
    #[must_use]
    pub fn application(features: &[Self], unit: &'static str) -> bool {
        for feature in features.iter().filter(|feature| !feature.is_provided()) {
            tracing::warn!(unit, ?feature, "these metrics are not provided by this version");
        }
        features.contains(&Self::Application)
    }
}
