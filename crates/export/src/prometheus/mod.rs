// SPDX-License-Identifier: Apache-2.0
//! An HTTP endpoint from which Prometheus fetches metrics: those of services, and those of vor itself.
//!
//! In: snapshots of the meter and the board, taken when somebody asks. Out: pages in the text, OpenMetrics or
//! protobuf format. Both kinds may share a port under different paths.

mod accept;
mod config;
mod families;
mod own;
mod proto;
#[cfg(test)]
mod reference;
mod serve;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use vor_health::{Board, Verdict};
use vor_pipeline::{Exporter, Meter, Prefix, Source, StartError, Task, now};

use crate::feature::Shown;
pub use config::{
    InternalExporter, InternalMetricsConfig, InternalPrometheusConfig, PrometheusConfig, UrlPath,
};
use families::{Family, Kind};
use serve::Page;

/// Which vor this is.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// The commit it was built from; may be empty.
    pub revision: &'static str,
}

/// The exporter.
#[derive(Debug)]
pub struct Prometheus {
    config: PrometheusConfig,
    internal: InternalMetricsConfig,
    prefix: Prefix,
    build: Build,
}

impl Prometheus {
    /// Serves what `config` and `internal` ask for.
    #[must_use]
    pub const fn new(
        config: PrometheusConfig,
        internal: InternalMetricsConfig,
        prefix: Prefix,
        build: Build,
    ) -> Self {
        Self { config, internal, prefix, build }
    }

    fn own_port(&self) -> u16 {
        match self.internal.exporter {
            InternalExporter::Disabled | InternalExporter::Otel => 0,
            InternalExporter::Prometheus => self.internal.prometheus.port,
        }
    }

    /// The pages of each port.
    fn pages(&self, from: &Source<'_>) -> Result<BTreeMap<u16, Vec<Page>>, StartError> {
        let (port, own_port) = (self.config.port, self.own_port());
        let (path, own_path) = (self.config.path.as_str(), self.internal.prometheus.path.as_str());
        if port == own_port && port != 0 && path == own_path {
            let problem = format!("{path} on port {port} is prometheus_export's already");
            return Err(StartError::Setting { key: "internal_metrics.prometheus.path", problem });
        }
        let page = |path: &str, requests, families| Page {
            path: path.to_owned(),
            requests: Arc::clone(requests),
            families,
        };
        let (asked, own_asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut pages: BTreeMap<u16, Vec<Page>> = BTreeMap::new();
        if port != 0 {
            let families = services(self.config.clone(), self.prefix, self.build, from.meter());
            pages.entry(port).or_default().push(page(path, &asked, families));
        }
        if own_port != 0 {
            let mut requests = vec![(own_port, own_path.to_owned(), Arc::clone(&own_asked))];
            if port != 0 {
                requests.push((port, path.to_owned(), Arc::clone(&asked)));
            }
            let families = own(requests, self.prefix, self.build, from.board());
            pages.entry(own_port).or_default().push(page(own_path, &own_asked, families));
        }
        Ok(pages)
    }
}

impl Exporter for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn start(self: Box<Self>, from: &mut Source<'_>) -> Result<Option<Task>, StartError> {
        if self.internal.exporter == InternalExporter::Otel {
            tracing::warn!(unit = "prometheus", "internal_metrics.exporter: otel is not provided");
        }
        let mut servers = Vec::new();
        for (port, pages) in self.pages(from)? {
            let listener = serve::listen(port)
                .map_err(|error| StartError::Listen { address: format!("port {port}"), error })?;
            for page in &pages {
                tracing::info!(unit = "prometheus", port, path = page.path, "metrics are served");
            }
            servers.push(serve::serve(listener, pages, from.closing()));
        }
        if servers.is_empty() {
            return Ok(None);
        }
        from.board().judge("prometheus", Verdict::Active);
        Ok(Some(Box::pin(async move {
            let mut running = JoinSet::new();
            for server in servers {
                running.spawn(server);
            }
            while running.join_next().await.is_some() {}
        })))
    }
}

/// What the page of services shows.
fn services(
    config: PrometheusConfig,
    prefix: Prefix,
    build: Build,
    meter: Arc<Meter>,
) -> Box<dyn Fn() -> Vec<Family> + Send + Sync> {
    let wanted = Shown::new(&config.features, &config.instrumentations, "prometheus");
    Box::new(move || {
        let points = meter.snapshot(now(), &|group, protocol| wanted.has(group, protocol));
        let mut shown = Vec::new();
        let targets =
            families::targets(&points, prefix.as_str(), &config.extra_resource_attributes);
        shown.extend((!targets.metrics.is_empty()).then_some(targets));
        if !config.disable_build_info {
            let services = points.iter().filter(|family| family.family.group.is_of_services());
            let services = services.flat_map(|family| &family.points);
            let languages = services.map(|point| point.service.language.as_str());
            let languages: Vec<_> = languages.collect::<BTreeSet<_>>().into_iter().collect();
            if !languages.is_empty() {
                shown.push(own::build_info(&build, prefix.as_str(), &languages));
            }
        }
        shown.extend(points.into_iter().map(families::measured));
        shown
    })
}

/// What the page of vor itself shows.
fn own(
    requests: Vec<(u16, String, Arc<AtomicU64>)>,
    prefix: Prefix,
    build: Build,
    board: Arc<Board>,
) -> Box<dyn Fn() -> Vec<Family> + Send + Sync> {
    Box::new(move || {
        let mut shown = own::families(&board, &build, prefix.as_str());
        let name = format!("{}_prometheus_http_requests", prefix.as_str());
        let help = "Requests for a page of metrics";
        let mut asked = own::family(&name, help, Kind::Counter, &["port", "path"]);
        for (port, path, count) in &requests {
            let count = families::exact(count.load(Ordering::Relaxed));
            asked.metrics.push(own::metric(&[&port.to_string(), path], count));
        }
        shown.push(asked);
        shown
    })
}
