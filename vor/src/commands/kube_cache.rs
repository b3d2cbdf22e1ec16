// SPDX-License-Identifier: Apache-2.0
//! `vor kube-cache`: watches the API server of a cluster for many agents until it is told to stop.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use vor_enrich::kube::{Enable, Follow, Scope, cache};
use vor_export::prometheus::{Build, InternalExporter, Prometheus};
use vor_health::Board;
use vor_pipeline::{Exporter, Meter, MeterConfig, Outlet, Source};

use super::run::runtime;
use crate::cli::SettingsArgs;
use crate::config::{self, Config};
use crate::log;

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: &SettingsArgs) -> anyhow::Result<()> {
    let loaded = config::load(args)?;
    log::start(loaded.settings.log_level);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    runtime()?.block_on(serve(loaded.settings))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut kubernetes = config.attributes.kubernetes.clone();
    kubernetes.enable = Enable::True;
    let board = Board::new();
    let follow = Follow::start(&kubernetes, Scope::Cluster, &board)?;
    let store = follow.as_ref().map(Follow::store).context("the cluster is not followed")?;
    let kube_cache = config.kube_cache.clone();
    let _metrics = internal_metrics(config, &board)?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        info!("stopping");
    };
    Ok(cache::serve(&kube_cache, store, kubernetes.kinds(), &board, stop).await?)
}

/// Metrics of the cache itself, served for as long as what is returned lives.
fn internal_metrics(config: Config, board: &Arc<Board>) -> anyhow::Result<Outlet<vor_model::Span>> {
    let (mut prometheus, mut internal) = (config.prometheus_export, config.internal_metrics);
    // There are no spans here, and a port is wish enough.
    prometheus.port = 0;
    if internal.prometheus.port != 0 {
        internal.exporter = InternalExporter::Prometheus;
    }
    let meter = Meter::new(MeterConfig::default(), board);
    let mut outlet = Outlet::new(1, Arc::clone(board));
    let mut flows = Outlet::new(1, Arc::clone(board));
    let build = Build { version: env!("CARGO_PKG_VERSION"), revision: "" };
    let exporter = Box::new(Prometheus::new(prometheus, internal, config.metrics.prefix, build));
    let mut source = Source::new(&mut outlet, &mut flows, meter, Arc::clone(board));
    if let Some(task) = exporter.start(&mut source)? {
        tokio::spawn(task);
    }
    Ok(outlet)
}
