// SPDX-License-Identifier: Apache-2.0
//! The composition root: settings in, everything wired and running out. Read it from top to bottom:
//! discover → probe → assemble → chain → meter and outlet → exporters.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;
use vor_config::PortSet;
use vor_discover::{Containers, Criteria, Discover, DiscoveryConfig, RootSettings};
use vor_enrich::Names;
use vor_enrich::kube::{Follow, Scope};
use vor_export::print::{Output, TracePrinter};
use vor_export::prometheus::Build;
use vor_health::Board;
use vor_model::{Captured, Span};
use vor_pipeline::stages::Locate;
use vor_pipeline::{Assemble, Chain, Directory, Meter, MeterConfig, Outlet, Services, Source, now};
use vor_probe::Probe;
use vor_probe::tracers::Mode;
use vor_protocol::Next;

use crate::config::Config;
use crate::observe::{Known, Observe};

/// Batches of captures that may wait for the pipeline.
const CAPTURE_BATCHES: usize = 32;
/// Events of processes that may wait for discovery.
const LIFE_EVENTS: usize = 8192;
/// How often the pipeline looks at what only time brings about.
const SWEEP: Duration = Duration::from_secs(1);
/// How long it may take until a process is observed.
const ADMISSION: Duration = Duration::from_secs(2);
/// How long it may take until the first program is found before that is worth a word.
const PATIENCE: Duration = Duration::from_secs(3);

/// Settings select no program.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing selects a program to observe: say which by --open-port (VOR_OPEN_PORT), --executable, or \
     discovery.services in the settings file; or run one with `vor exec -- CMD`"
)]
pub(crate) struct NothingToObserve;

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

/// Everything, running.
pub(crate) struct Agent {
    probe: Probe,
    discover: vor_discover::Handle,
    spans: JoinHandle<()>,
    exporters: JoinSet<()>,
    /// The cluster, followed until the end.
    _cluster: Option<Follow>,
    shutdown_timeout: Duration,
}

impl Agent {
    /// Starts everything; needs a runtime around it. What is printed goes to `output`.
    pub(crate) fn start(config: Config, whom: &Whom, output: Output) -> anyhow::Result<Self> {
        let criteria = criteria(&config, whom);
        if criteria.is_empty() {
            return Err(NothingToObserve.into());
        }
        let shutdown_timeout = config.shutdown_timeout.get();
        let (discovery, ebpf) = (config.discovery.clone(), config.ebpf.clone());
        let spans_config = config.spans.clone();
        let kubernetes = config.attributes.kubernetes.clone();

        let max_series = config.metrics.max_series;
        let measured = is_measured(&config);
        let sampling = config.otel_traces_export.sampler.sampling();
        let settings = settings(config, output);

        let board = Board::new();
        let cluster = Follow::start(&kubernetes, Scope::ThisNode, &board)?;
        let meter_config = settings.meter(MeterConfig { max_series, ..MeterConfig::default() });
        let meter = Meter::new(meter_config, &board);
        let mut outlet = Outlet::new(spans_config.inbox, Arc::clone(&board));
        let mut flows = Outlet::new(1, Arc::clone(&board));
        let source = Source::new(&mut outlet, &mut flows, Arc::clone(&meter), Arc::clone(&board));
        let exporters = exporters(settings, source)?;

        let (captures, batches) = mpsc::channel(CAPTURE_BATCHES);
        let (life, lives) = sync_channel(LIFE_EVENTS);
        let probe = Probe::start(&ebpf, sampling, Arc::clone(&board), captures, life)?;

        let names = Names::new(cluster.as_ref().map(Follow::store));
        let services = Services::new(spans_config.name_kept.get());
        let judged = probe.handle();
        let assemble = Assemble::new(
            &spans_config,
            sampling,
            vor_protocol::ALL,
            Arc::clone(&services),
            Box::new(move |conn, next| judged.judge(conn, mode(next))),
            &board,
        );
        let chain = stages(cluster.is_some().then_some(&names), measured.then_some(&meter), &board);
        let spans = tokio::spawn(spans(batches, assemble, chain, outlet));

        let (first, found) = sync_channel(1);
        let observe = Observe::new(
            services,
            probe.handle(),
            Arc::clone(&names),
            whom,
            spans_config.name_wait.get(),
            first,
        );
        let tell = move |event| observe.tell(event);
        let known: Arc<dyn Containers> = Arc::new(Known(names));
        let known = cluster.is_some().then_some(known);
        let board = Arc::clone(&board);
        let discover =
            Discover::start(criteria, &discovery, lives, known, tell, Arc::clone(&board))?;
        match whom {
            Whom::Selected => drop(tokio::spawn(speak_if_nothing_is_found(board))),
            // The ancestor: it exists, and none of its descendants does.
            Whom::Family { .. } => found
                .recv_timeout(ADMISSION)
                .context("the kernel side did not begin to observe the program in time")?,
        }
        Ok(Self { probe, discover, spans, exporters, _cluster: cluster, shutdown_timeout })
    }

    /// Stops observing, and waits until what was seen has left or the time for that is over.
    pub(crate) async fn stop(self) {
        let Self { probe, discover, spans, mut exporters, _cluster, shutdown_timeout } = self;
        discover.stop();
        let rest = async {
            // The probe's threads are waited for off this one, which meanwhile takes their last captures.
            _ = spawn_blocking(move || probe.stop()).await;
            _ = spans.await;
            while exporters.join_next().await.is_some() {}
        };
        if timeout(shutdown_timeout, rest).await.is_err() {
            warn!("not everything could be sent in time, see shutdown_timeout");
        }
    }
}

fn criteria(config: &Config, whom: &Whom) -> Criteria {
    let root = RootSettings {
        open_port: config.open_port.clone(),
        executable_name: config.executable_name.clone(),
        auto_target_exe: config.auto_target_exe.clone(),
        service_name: config.service_name.clone(),
        service_namespace: config.service_namespace.clone(),
        resource_attributes: config.resource_attributes.clone(),
        hostname: config.attributes.instance_id.override_hostname.clone(),
    };
    match whom {
        Whom::Selected => Criteria::new(root, &config.discovery),
        Whom::Family { pid, program } => {
            let names = RootSettings {
                open_port: PortSet::default(),
                executable_name: None,
                auto_target_exe: None,
                ..root
            };
            let nobody_else = DiscoveryConfig {
                services: Vec::new(),
                instrument: Vec::new(),
                system_wide: false,
                ..config.discovery.clone()
            };
            Criteria::new(names, &nobody_else).descendants_of(*pid).about_to_run(program)
        }
    }
}

/// Whether anybody takes metrics: counting them costs time.
fn is_measured(config: &Config) -> bool {
    config.prometheus_export.port != 0
        || config.otel_export.endpoint.is_some()
        || config.otel_metrics_export.endpoint.is_some()
}

/// Without any other way out, spans are printed.
fn printer(config: &Config) -> TracePrinter {
    let elsewhere = is_measured(config) || config.otel_traces_export.endpoint.is_some();
    let unasked = if elsewhere { TracePrinter::Disabled } else { TracePrinter::Text };
    config.trace_printer.unwrap_or(unasked)
}

fn settings(config: Config, output: Output) -> vor_export::Settings {
    vor_export::Settings {
        trace_printer: printer(&config),
        output,
        prometheus: config.prometheus_export,
        internal_metrics: config.internal_metrics,
        otlp: config.otel_export,
        otlp_traces: config.otel_traces_export,
        otlp_metrics: config.otel_metrics_export,
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

/// What happens to spans, in this order.
fn stages(
    names: Option<&Arc<Names>>,
    meter: Option<&Arc<Meter>>,
    board: &Arc<Board>,
) -> Chain<Span> {
    let mut chain = Chain::new("chain", Arc::clone(board));
    // Names before numbers: they are labels.
    if let Some(names) = names {
        let names: Arc<dyn Directory> = Arc::<Names>::clone(names);
        chain = chain.stage(Locate::new(names));
    }
    if let Some(meter) = meter {
        chain = chain.stage(meter.tap());
    }
    chain
}

/// The span pipeline, until captures end.
async fn spans(
    mut batches: Receiver<Vec<Captured>>,
    mut assemble: Assemble,
    mut chain: Chain<Span>,
    outlet: Outlet<Span>,
) {
    let mut spans = Vec::new();
    loop {
        match timeout(SWEEP, batches.recv()).await {
            Ok(Some(batch)) => assemble.take(batch, now(), &mut spans),
            Ok(None) => break,
            Err(_) => assemble.sweep(now(), &mut spans),
        }
        chain.run(&mut spans);
        outlet.put(&mut spans);
    }
    assemble.finish();
}

fn mode(next: Next) -> Mode {
    match next {
        Next::Same => Mode::Pairs,
        Next::Messages => Mode::Messages,
        Next::Ignore => Mode::Ignored,
    }
}

/// A selection that matches nothing is usually a mistake.
async fn speak_if_nothing_is_found(board: Arc<Board>) {
    tokio::time::sleep(PATIENCE).await;
    if board.counter("discover", "targets").get() == 0 {
        warn!("no program matches yet; vor goes on looking (`vor config` shows what is selected)");
    }
}
