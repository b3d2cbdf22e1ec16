// SPDX-License-Identifier: Apache-2.0

mod metrics;
mod receiver;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use confique::Config;
use vor_health::Board;
use vor_model::Span;
use vor_pipeline::{Exporter, Meter, MeterConfig, Outlet, Prefix, Source};

use super::*;
use crate::prometheus::Build;

const BUILD: Build = Build { version: "1.2.3", revision: "abcdef" };

/// Settings with short times, without an endpoint.
struct Settings {
    shared: OtlpConfig,
    traces: OtlpTracesConfig,
    metrics: OtlpMetricsConfig,
}

fn ms(count: u64) -> vor_config::Duration {
    Duration::from_millis(count).into()
}

impl Settings {
    fn new() -> Self {
        let shared = OtlpConfig::builder().load().unwrap();
        let mut traces = OtlpTracesConfig::builder().load().unwrap();
        let mut metrics = OtlpMetricsConfig::builder().load().unwrap();
        traces.batch_timeout = ms(10);
        traces.backoff_initial_interval = ms(10);
        traces.backoff_max_interval = ms(50);
        metrics.interval = ms(50);
        Self { shared, traces, metrics }
    }

    /// Traces to `uri`, nothing else.
    fn traces(uri: &str) -> Self {
        let mut settings = Self::new();
        settings.traces.endpoint = Some(uri.to_owned().try_into().unwrap());
        settings
    }

    /// Metrics to `uri`, nothing else.
    fn metrics(uri: &str) -> Self {
        let mut settings = Self::new();
        settings.metrics.endpoint = Some(uri.to_owned().try_into().unwrap());
        settings
    }
}

/// A running exporter.
struct Running {
    board: Arc<Board>,
    meter: Arc<Meter>,
    outlet: Outlet<Span>,
    task: tokio::task::JoinHandle<()>,
}

fn start(settings: Settings) -> Running {
    let Settings { shared, traces, metrics } = settings;
    let board = Board::new();
    let meter = Meter::new(MeterConfig::default(), &board);
    let mut outlet = Outlet::new(40, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let mut source = Source::new(&mut outlet, &mut flows, Arc::clone(&meter), Arc::clone(&board));
    let otlp = Box::new(Otlp::new(shared, traces, metrics, Prefix::Beyla, BUILD));
    let task = tokio::spawn(otlp.start(&mut source).unwrap().unwrap());
    Running { board, meter, outlet, task }
}

impl Running {
    fn count(&self, stage: &'static str, what: &'static str) -> u64 {
        self.board.counter(stage, what).get()
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..4_000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never happened: {what}; {:?}", self.board.readings());
    }

    /// Waits until each of `spans` was sent or lost, so that a slow machine is not taken for a slow receiver.
    async fn settled(&self, spans: u64) {
        let stage = super::traces::STAGE;
        let settled = |board: &Board| -> u64 {
            let readings = board.readings().into_iter().filter(|reading| reading.stage == stage);
            let ends = readings
                .filter(|reading| reading.what == "out" || reading.what.starts_with("lost."));
            ends.map(|reading| reading.value).sum()
        };
        self.until("settled", |running| settled(&running.board) == spans).await;
    }

    /// Ends it and proves that each item was counted once.
    async fn end(self) -> Arc<Board> {
        drop(self.outlet);
        let limit = FLUSH_LIMIT * 4;
        tokio::time::timeout(limit, self.task).await.expect("ends in time").unwrap();
        for stage in [super::traces::STAGE, super::metrics::STAGE] {
            let (mut taken, mut settled) = (0, 0);
            for reading in self.board.readings().iter().filter(|reading| reading.stage == stage) {
                match reading.what {
                    "in" => taken += reading.value,
                    "out" => settled += reading.value,
                    lost if lost.starts_with("lost.") => settled += reading.value,
                    _ => {}
                }
            }
            assert_eq!(taken, settled, "{:?}", self.board.readings());
        }
        self.board
    }
}
