// SPDX-License-Identifier: Apache-2.0
//! Groups of metrics, as settings of metric exporters name them.

use serde::Deserialize;

/// A group of metrics. All names of Beyla and OBI are understood; [`Feature::is_provided`] says what vor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Every group there is.
    #[serde(rename = "*", alias = "all")]
    All,
    /// What the observed programs ask and answer.
    Application,
    /// The same as span metrics.
    #[serde(alias = "application_span_otel", alias = "application_span_sizes")]
    ApplicationSpan,
    /// Which service calls which.
    ApplicationServiceGraph,
    /// What processes use of the machine.
    ApplicationProcess,
    /// What language runtimes say of themselves.
    ApplicationRuntime,
    /// Which hosts are instrumented.
    ApplicationHost,
    /// Network flows.
    Network,
    /// Packets of network flows.
    NetworkFlowPackets,
    /// Network flows between zones.
    NetworkInterZone,
    /// TCP connections: round-trip times, failures, retransmits, bytes.
    #[serde(
        alias = "stats_tcp_rtt",
        alias = "stats_tcp_failed_connections",
        alias = "stats_tcp_retransmits",
        alias = "stats_tcp_io"
    )]
    Stats,
    /// The kernel programs themselves.
    Ebpf,
}

impl Feature {
    /// Whether this version of vor has such metrics.
    #[must_use]
    pub const fn is_provided(self) -> bool {
        matches!(self, Self::All | Self::Application)
    }

    /// Whether `features` ask for metrics of applications. Those that vor cannot provide are named in a warning
    /// of the exporter `unit`.
    #[must_use]
    pub fn application(features: &[Self], unit: &'static str) -> bool {
        for feature in features.iter().filter(|feature| !feature.is_provided()) {
            tracing::warn!(unit, ?feature, "these metrics are not provided by this version");
        }
        features.iter().any(|feature| feature.is_provided())
    }
}
