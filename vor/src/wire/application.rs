// SPDX-License-Identifier: Apache-2.0
//! The application pipeline: discover → probe → assemble → chain → meter and outlet.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;
use vor_config::PortSet;
use vor_discover::{Criteria, Discover, DiscoveryConfig, RootSettings};
use vor_enrich::Peers;
use vor_health::Board;
use vor_model::{Captured, Group, Span};
use vor_pipeline::stages::Locate;
use vor_pipeline::{Assemble, Chain, Directory, Outlet, now};
use vor_probe::Probe;
use vor_probe::tracers::Mode;
use vor_protocol::Next;

use super::{Shared, Whom};
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

/// The application pipeline, running.
pub(super) struct Application {
    probe: Probe,
    discover: vor_discover::Handle,
    spans: JoinHandle<()>,
    /// Tells the spans that no better names will come.
    named: oneshot::Sender<()>,
}

impl Application {
    /// Observes those who fit `criteria`.
    pub(super) fn start(
        config: &Config,
        whom: &Whom,
        criteria: Criteria,
        shared: &Shared,
        outlet: Outlet<Span>,
    ) -> anyhow::Result<Self> {
        let Shared { board, services, names, .. } = shared;
        let (captures, batches) = mpsc::channel(CAPTURE_BATCHES);
        let (life, lives) = sync_channel(LIFE_EVENTS);
        let sampling = config.otel_traces_export.sampler.sampling();
        let usual = config.ebpf.propagation()?;
        let writes = criteria.propagation(usual);

        let probe = Probe::start(
            &config.ebpf,
            config.javaagent.wanted(),
            sampling,
            writes,
            Arc::clone(board),
            captures,
            life,
        )?;

        let judged = probe.handle();
        let assemble = Assemble::new(
            &config.spans,
            sampling,
            vor_protocol::ALL,
            Arc::clone(services),
            Box::new(move |conn, next| judged.judge(conn, mode(next))),
            board,
        );
        let chain = stages(config, shared);
        let (named, names_end) = oneshot::channel();
        let spans = tokio::spawn(spans(batches, assemble, chain, outlet, names_end));

        let (first, found) = sync_channel(1);
        let observe = Observe::new(
            Arc::clone(services),
            probe.handle(),
            Arc::clone(names),
            whom,
            usual,
            config.spans.name_wait.get(),
            first,
        );
        let tell = move |event| observe.tell(event);
        let known = Known::containers(Arc::clone(names));
        let discover =
            Discover::start(criteria, &config.discovery, lives, known, tell, Arc::clone(board))?;
        match whom {
            Whom::Selected => drop(tokio::spawn(speak_if_nothing_is_found(Arc::clone(board)))),
            // The ancestor: it exists, and none of its descendants does.
            Whom::Family { .. } => found
                .recv_timeout(ADMISSION)
                .context("the kernel side did not begin to observe the program in time")?,
        }
        Ok(Self { probe, discover, spans, named })
    }

    /// Stops observing, and waits until what was seen is with the exporters.
    pub(super) async fn stop(self) {
        // The probe's threads are waited for off this one, which meanwhile takes their last captures.
        let Self { probe, discover, spans, named } = self;
        let end = move || {
            probe.stop();
            discover.join();
        };
        _ = spawn_blocking(end).await;
        _ = named.send(());
        _ = spans.await;
    }
}

/// Who is observed.
pub(super) fn criteria(config: &Config, whom: &Whom) -> Criteria {
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

/// What happens to spans, in this order.
fn stages(config: &Config, shared: &Shared) -> Chain<Span> {
    let cluster = shared.cluster.then(|| Arc::clone(&shared.names));
    let peers = Peers::start(&config.name_resolver, cluster, &shared.board);
    let peers = peers.map(|peers| -> Arc<dyn Directory> { peers });
    Chain::new("chain", Arc::clone(&shared.board))
        // Names before numbers: they are labels.
        .maybe(peers.map(Locate::new))
        .maybe(shared.measures(&[Group::Application]).then(|| shared.meter.tap()))
}

/// The span pipeline, until captures end.
async fn spans(
    mut batches: Receiver<Vec<Captured>>,
    mut assemble: Assemble,
    mut chain: Chain<Span>,
    outlet: Outlet<Span>,
    names_end: oneshot::Receiver<()>,
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
    // The last processes are named a moment after their last words.
    _ = names_end.await;
    assemble.finish(now(), &mut spans);
    chain.run(&mut spans);
    outlet.put(&mut spans);
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
