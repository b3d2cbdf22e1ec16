// SPDX-License-Identifier: Apache-2.0
//! Groups of metrics, as settings of metric exporters name them.

use std::fmt;

use serde::Deserialize;
use vor_model::Group;

/// A group of metrics. All names of Beyla and OBI are understood; [`Feature::groups`] says what vor has.
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
    /// What it stands for; empty when this version of vor has no such metrics.
    #[must_use]
    pub const fn groups(self) -> &'static [Group] {
        match self {
            Self::All => &Group::ALL,
            Self::Application => &[Group::Application],
            Self::Network => &[Group::Network, Group::NetworkPackets],
            Self::NetworkFlowPackets => &[Group::NetworkPackets],
            Self::NetworkInterZone => &[Group::InterZone],
            Self::Stats => &[Group::Stats],
            Self::ApplicationSpan
            | Self::ApplicationServiceGraph
            | Self::ApplicationProcess
            | Self::ApplicationRuntime
            | Self::ApplicationHost
            | Self::Ebpf => &[],
        }
    }

    /// Whether `features` ask for anything that packets tell.
    #[must_use]
    pub fn network(features: &[Self]) -> bool {
        let groups = features.iter().flat_map(|feature| feature.groups());
        groups.copied().any(|group| !group.is_of_services())
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
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a metric exporter shows.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    groups: Vec<Group>,
    instrumentations: Vec<String>,
}

impl Shown {
    /// What `features` ask for, and of applications the protocols that `instrumentations` name. Features that vor
    /// cannot provide are named in a warning of the exporter `unit`.
    pub(crate) fn new(
        features: &[Feature],
        instrumentations: &[String],
        unit: &'static str,
    ) -> Self {
        for feature in features.iter().filter(|feature| feature.groups().is_empty()) {
            tracing::warn!(unit, %feature, "these metrics are not provided by this version");
        }
        let groups = features.iter().flat_map(|feature| feature.groups()).copied().collect();
        Self { groups, instrumentations: instrumentations.to_vec() }
    }

    /// Whether there is nothing to show, ever.
    pub(crate) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether a series of a family in `group` that operations of `protocol` began is shown.
    pub(crate) fn has(&self, group: Group, protocol: &str) -> bool {
        let named = || self.instrumentations.iter().any(|name| name == "*" || name == protocol);
        self.groups.contains(&group) && (!group.is_of_services() || named())
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

    #[test]
    fn protocols_are_chosen_among_operations_only() {
        let shown = Shown::new(&[Feature::Application, Feature::Network], &["http".into()], "x");
        assert!(shown.has(Group::Application, "http") && shown.has(Group::NetworkPackets, ""));
        assert!(!shown.has(Group::Application, "sql") && !shown.has(Group::InterZone, ""));
        assert!(Shown::new(&[Feature::Ebpf], &[], "x").is_empty());
        assert!(Feature::network(&[Feature::NetworkInterZone]));
        assert!(Feature::network(&[Feature::All]) && !Feature::network(&[Feature::Application]));
    }
}
