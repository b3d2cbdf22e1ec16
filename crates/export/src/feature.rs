// SPDX-License-Identifier: Apache-2.0
//! Groups of metrics, as settings of metric exporters name them.

use std::fmt;

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

    /// The setting's word.
    const fn name(self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Application => "application",
            Self::ApplicationSpan => "application_span",
            Self::ApplicationServiceGraph => "application_service_graph",
            Self::ApplicationProcess => "application_process",
            Self::ApplicationRuntime => "application_runtime",
            Self::ApplicationHost => "application_host",
            Self::Network => "network",
            Self::NetworkFlowPackets => "network_flow_packets",
            Self::NetworkInterZone => "network_inter_zone",
            Self::Stats => "stats",
            Self::Ebpf => "ebpf",
        }
    }

    /// Whether `features` ask for metrics of applications. Those that vor cannot provide are named in a warning
    /// of the exporter `unit`.
    #[must_use]
    pub fn application(features: &[Self], unit: &'static str) -> bool {
        for feature in features.iter().filter(|feature| !feature.is_provided()) {
            tracing::warn!(unit, %feature, "these metrics are not provided by this version");
        }
        features.iter().any(|feature| feature.is_provided())
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    #[test]
    fn a_feature_is_called_what_the_setting_calls_it() {
        for name in ["*", "application_span", "network", "network_flow_packets", "stats", "ebpf"] {
            let text: StrDeserializer<'_, Error> = name.into_deserializer();
            assert_eq!(Feature::deserialize(text).unwrap().to_string(), name);
        }
    }
}
