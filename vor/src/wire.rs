// SPDX-License-Identifier: Apache-2.0
//! The composition root: settings in, everything wired and running out. Two pipelines, either of which may be there
//! without the other, share names, meter and exporters: [`application`] and [`network`].

mod application;
mod network;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, warn};
use vor_enrich::Names;
use vor_enrich::container::Engines;
use vor_enrich::kube::{Follow, Scope};
use vor_export::Feature;
use vor_export::print::{Output, TracePrinter};
use vor_export::prometheus::Build;
use vor_health::{Board, Verdict};
use vor_model::Group;
use vor_pipeline::{Meter, MeterConfig, Outlet, Services, Source};

use crate::config::Config;
use application::Application;
use network::Network;

/// Settings select nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing selects a program to observe: say which by --open-port (VOR_OPEN_PORT), --executable, or \
     discovery.services in the settings file; or run one with `vor exec -- CMD`. Network flows are \
     switched on by the feature `network` of a metric exporter, or by VOR_NETWORK_PRINT_FLOWS=true"
)]
pub(crate) struct NothingToObserve;

/// Flows are wanted, and nobody takes them.
#[derive(Debug, thiserror::Error)]
#[error(
    "network.enable is set and nothing takes flows: set an OTLP endpoint for metrics \
     (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_METRICS_ENDPOINT), VOR_PROMETHEUS_PORT, or \
     VOR_NETWORK_PRINT_FLOWS=true"
)]
pub(crate) struct FlowsGoNowhere;

/// Who is observed.
#[derive(Debug)]
pub(crate) enum Whom {
    /// What settings select.
    Selected,
    /// A process that waits to be let go, and all its descendants.
    Family {
        /// Its pid.
        pid: u32,
        /// The program that it is going to run.
        program: PathBuf,
    },
}

/// What both pipelines use.
struct Shared {
    board: Arc<Board>,
    meter: Arc<Meter>,
    /// Families that somebody wants.
    groups: Vec<Group>,
    services: Arc<Services>,
    names: Arc<Names>,
    /// Whether a cluster is followed.
    cluster: bool,
}

impl Shared {
    /// Whether anybody takes metrics of one of `groups`: counting them costs time.
    fn measures(&self, groups: &[Group]) -> bool {
        self.groups.iter().any(|group| groups.contains(group))
    }
}

/// Everything, running.
pub(crate) struct Agent {
    application: Option<Application>,
    network: Option<Network>,
    exporters: JoinSet<()>,
    /// The cluster, followed until the end.
    _cluster: Option<Follow>,
    shutdown_timeout: Duration,
}

impl Agent {
    /// Starts everything; needs a runtime around it. What is printed goes to `output`.
    pub(crate) fn start(config: &Config, whom: &Whom, output: Output) -> anyhow::Result<Self> {
        let criteria = application::criteria(config, whom);
        let plan = network::Plan::new(config)?;
        if criteria.is_empty() && plan.is_none() {
            return Err(NothingToObserve.into());
        }
        let settings = settings(config, output);
        let board = Board::new();
        let cluster = Follow::start(&config.attributes.kubernetes, Scope::ThisNode, &board)?;
        let meter_config = settings.meter(MeterConfig {
            max_series: config.metrics.max_series,
            select: config.attributes.select.clone(),
            shown: config.network.shown(),
            resource: config.attributes.beside_labels(cluster.is_some()),
            host: network::host(config),
            ..MeterConfig::default()
        });
        let engines = Engines::start(&config.attributes.containers, &board);
        let shared = Shared {
            groups: meter_config.groups.clone(),
            meter: Meter::new(meter_config, &board),
            services: Services::new(config.spans.name_kept.get()),
            names: Names::new(cluster.as_ref().map(Follow::store), engines),
            cluster: cluster.is_some(),
            board: Arc::clone(&board),
        };
        let mut spans = Outlet::new(config.spans.inbox, Arc::clone(&board));
        let mut flows = Outlet::new(config.network.inbox, Arc::clone(&board));
        let meter = Arc::clone(&shared.meter);
        let source = Source::new(&mut spans, &mut flows, meter, Arc::clone(&board));
        let exporters = exporters(settings, source)?;

        let application = (!criteria.is_empty())
            .then(|| Application::start(config, whom, criteria, &shared, spans));
        let network = plan.map(|plan| Network::start(config, plan, &shared, flows));
        let (application, network) = match whom {
            Whom::Selected => survivors(application, network, &board)?,
            Whom::Family { .. } => {
                let application = application.transpose()?;
                survivors(application.map(Ok), network, &board)?
            }
        };
        let shutdown_timeout = config.shutdown_timeout.get();
        Ok(Self { application, network, exporters, _cluster: cluster, shutdown_timeout })
    }

    /// Stops observing, and waits until what was seen has left or the time for that is over.
    pub(crate) async fn stop(self) {
        let Self { application, network, mut exporters, _cluster, shutdown_timeout } = self;
        let rest = async {
            let application = async {
                if let Some(application) = application {
                    application.stop().await;
                }
            };
            let network = async {
                if let Some(network) = network {
                    network.stop().await;
                }
            };
            tokio::join!(application, network);
            while exporters.join_next().await.is_some() {}
        };
        if timeout(shutdown_timeout, rest).await.is_err() {
            warn!("not everything could be sent in time, see shutdown_timeout");
        }
    }
}

/// A pipeline that cannot start does not keep the other one from running; an error when none runs.
fn survivors(
    application: Option<anyhow::Result<Application>>,
    network: Option<anyhow::Result<Network>>,
    board: &Board,
) -> anyhow::Result<(Option<Application>, Option<Network>)> {
    match (application.transpose(), network.transpose()) {
        (Err(failure), Ok(network @ Some(_))) => {
            report("application", &failure, board);
            Ok((None, network))
        }
        (Ok(application @ Some(_)), Err(failure)) => {
            report("network", &failure, board);
            Ok((application, None))
        }
        (application, network) => Ok((application?, network?)),
    }
}

fn report(unit: &'static str, failure: &anyhow::Error, board: &Board) {
    error!(unit, error = format!("{failure:#}"), "cannot start; everything else runs on");
    board.judge(unit, Verdict::Failed(format!("{failure:#}")));
}

/// Whether anybody takes metrics over OTLP.
fn has_otlp_metrics(config: &Config) -> bool {
    config.otel_export.endpoint.is_some() || config.otel_metrics_export.endpoint.is_some()
}

/// Whether anybody takes metrics.
fn is_measured(config: &Config) -> bool {
    config.prometheus_export.port != 0 || has_otlp_metrics(config)
}

/// Without any other way out, spans are printed.
fn printer(config: &Config) -> TracePrinter {
    let elsewhere = is_measured(config) || config.otel_traces_export.endpoint.is_some();
    let unasked = if elsewhere { TracePrinter::Disabled } else { TracePrinter::Text };
    config.trace_printer.unwrap_or(unasked)
}

fn settings(config: &Config, output: Output) -> vor_export::Settings {
    let mut prometheus = config.prometheus_export.clone();
    let mut otlp_metrics = config.otel_metrics_export.clone();
    if config.network.enable {
        prometheus.features.push(Feature::Network);
        otlp_metrics.features.push(Feature::Network);
    }
    vor_export::Settings {
        trace_printer: printer(config),
        print_flows: config.network.print_flows,
        output,
        prometheus,
        internal_metrics: config.internal_metrics.clone(),
        otlp: config.otel_export.clone(),
        otlp_traces: config.otel_traces_export.clone(),
        otlp_metrics,
        prefix: config.metrics.prefix,
        build: Build { version: env!("CARGO_PKG_VERSION"), revision: "" },
    }
}

fn exporters(
    settings: vor_export::Settings,
    mut source: Source<'_>,
) -> anyhow::Result<JoinSet<()>> {
    let mut running = JoinSet::new();
    for exporter in vor_export::all(settings) {
        if let Some(task) = exporter.start(&mut source)? {
            running.spawn(task);
        }
    }
    if running.is_empty() {
        warn!("nothing is exported: set trace_printer, prometheus_export or an OTLP endpoint");
    }
    Ok(running)
}
