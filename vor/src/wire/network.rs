// SPDX-License-Identifier: Apache-2.0
//! The network pipeline: flows of the kernel side → chain → meter and outlet; answers of name servers → names, meter.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use vor_enrich::dns::{Answers, Resolver, ReverseDnsType};
use vor_enrich::host;
use vor_export::Feature;
use vor_export::print::PrintFlows;
use vor_model::{DnsLookup, Flow, Group, Language, Service};
use vor_pipeline::stages::{Cidrs, Dedup, Filter, Owners, Protocols, ReverseDns, Workloads};
use vor_pipeline::{Chain, Directory, Meter, Outlet, now};
use vor_probe::flows::{FlowOutlets, Flows};

use super::{FlowsGoNowhere, Shared, has_otlp_metrics, is_measured};
use crate::config::Config;

/// Batches of flows that may wait for the pipeline.
const FLOW_BATCHES: usize = 64;
/// Batches of answers of name servers that may wait.
const DNS_BATCHES: usize = 64;

/// What is told by flows, and not by operations.
const GROUPS: [Group; 4] = [Group::Network, Group::NetworkPackets, Group::InterZone, Group::Stats];

/// What must be known before anything starts.
pub(super) struct Plan {
    filter: Option<Filter>,
    agent: Option<IpAddr>,
}

impl Plan {
    /// What settings say; `None`: nobody wants flows.
    pub(super) fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let network = &config.network;
        let asked = |on: bool, features: &[Feature]| on && Feature::network(features);
        let printed = network.print_flows != PrintFlows::No;
        let measured = network.enable
            || asked(config.prometheus_export.port != 0, &config.prometheus_export.features)
            || asked(has_otlp_metrics(config), &config.otel_metrics_export.features);
        if !measured && !printed {
            return Ok(None);
        }
        if !printed && !is_measured(config) {
            return Err(FlowsGoNowhere.into());
        }
        let filter = Filter::of_flows(&config.filter.network).context("filter.network")?;
        let agent = match network.agent_ip {
            Some(ip) => Some(ip),
            None => host::agent(&network.agent_ip_iface, network.agent_ip_type)
                .context("network.agent_ip_iface")?,
        };
        Ok(Some(Self { filter, agent }))
    }
}

/// Whose the series are that belong to the host.
pub(super) fn host(config: &Config) -> Arc<Service> {
    let (host, attrs) = vor_discover::host(config.attributes.instance_id.override_hostname.clone());
    Arc::new(Service {
        name: format!("{}-network-flows", config.metrics.prefix.as_str()).into(),
        namespace: Arc::default(),
        instance: format!("{host}:{}", std::process::id()).into(),
        language: Language::Generic,
        auto_name: true,
        attrs,
    })
}

/// The network pipeline, running.
pub(super) struct Network {
    source: Flows,
    flows: JoinHandle<()>,
    answers: JoinHandle<()>,
}

impl Network {
    /// Counts flows.
    pub(super) fn start(
        config: &Config,
        plan: Plan,
        shared: &Shared,
        outlet: Outlet<Flow>,
    ) -> anyhow::Result<Self> {
        let Shared { board, meter, .. } = shared;
        let reverse_dns = &config.network.reverse_dns;
        let heard =
            (reverse_dns.type_ == ReverseDnsType::Ebpf).then(|| Answers::new(reverse_dns, board));
        let timed = shared.measures(&[Group::Stats]).then(|| Arc::clone(meter));
        let dns = heard.is_some() || timed.is_some();

        let (flows, batches) = mpsc::channel(FLOW_BATCHES);
        let (answers, heard_batches) = mpsc::channel(DNS_BATCHES);
        let backend = config.ebpf.traffic_control_backend;
        let source = Flows::start(
            &config.network.flows(backend, dns),
            Arc::clone(board),
            FlowOutlets { flows, dns: answers },
        )?;
        let names: Option<Arc<dyn Directory>> = match (reverse_dns.type_, &heard) {
            (ReverseDnsType::Local, _) => Some(Resolver::hosts(reverse_dns, board)),
            (_, Some(heard)) => Some(Arc::<Answers>::clone(heard)),
            (ReverseDnsType::None | ReverseDnsType::Ebpf, None) => None,
        };
        let chain = stages(config, plan, names, shared);
        Ok(Self {
            source,
            flows: tokio::spawn(pass(batches, chain, outlet)),
            answers: tokio::spawn(hear(heard_batches, heard, timed)),
        })
    }

    /// Stops counting, and waits until what was counted is with the exporters.
    pub(super) async fn stop(self) {
        // Its thread is waited for off this one, which meanwhile takes its last flows.
        _ = spawn_blocking(move || self.source.stop()).await;
        _ = self.flows.await;
        _ = self.answers.await;
    }
}

/// What happens to flows, in this order.
fn stages(
    config: &Config,
    plan: Plan,
    names: Option<Arc<dyn Directory>>,
    shared: &Shared,
) -> Chain<Flow> {
    let (network, board) = (&config.network, &shared.board);
    let agent = plan.agent.map(|ip| ip.to_string().into());
    let cluster: Arc<dyn Directory> = Arc::<vor_enrich::Names>::clone(&shared.names);
    let drop_external = config.attributes.kubernetes.drop_external;
    Chain::new("flows", Arc::clone(board))
        // What nobody wants first: everything after it is work.
        .maybe(Protocols::new(&network.protocols, &network.exclude_protocols))
        .maybe(network.dedup().map(|config| Dedup::new(config, board)))
        .stage(Owners::new(Arc::clone(&shared.services), agent))
        .maybe(Cidrs::new(&network.cidrs))
        // Kubernetes before DNS: DNS is asked only about ends of which Kubernetes knows nothing.
        .maybe(shared.cluster.then(|| Workloads::new(cluster, drop_external)))
        .maybe(names.map(ReverseDns::new))
        // Names before filters, so that filters can speak about names.
        .maybe(plan.filter)
        .maybe(shared.measures(&GROUPS).then(|| shared.meter.tap()))
}

/// The flow pipeline, until flows end.
async fn pass(mut batches: Receiver<Vec<Flow>>, mut chain: Chain<Flow>, outlet: Outlet<Flow>) {
    while let Some(mut batch) = batches.recv().await {
        chain.run(&mut batch);
        outlet.put(&mut batch);
        // Exporters run on this thread too, and a report is many batches.
        yield_now().await;
    }
}

/// Takes answers of name servers, until there are no more.
async fn hear(
    mut batches: Receiver<Vec<DnsLookup>>,
    names: Option<Arc<Answers>>,
    meter: Option<Arc<Meter>>,
) {
    while let Some(batch) = batches.recv().await {
        if let Some(names) = &names {
            for answer in &batch {
                names.learn(answer);
            }
        }
        if let Some(meter) = &meter {
            meter.record(&batch, now());
        }
    }
}
