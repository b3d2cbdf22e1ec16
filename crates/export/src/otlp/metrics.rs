// SPDX-License-Identifier: Apache-2.0
//! The exporter of metrics: now and then a snapshot of the meter, and a last one at the end.
//!
//! In: cumulative points. Out: requests of at most [`MAX_SERIES`] series and [`MAX_REQUEST_BYTES`]. An item on the
//! board is one point of one series. Cumulative points that were lost are made good by the next ones; delta points
//! are counted again.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tokio::time::{Instant, sleep_until};
use vor_health::{Counter, count};
use vor_model::Mono;
use vor_pipeline::{Closing, Meter, clock, now};

use super::FLUSH_LIMIT;
use super::config::{Aggregation, Temporality};
use super::deliver::Courier;
use super::delta::Deltas;
use super::encode::{About, MAX_REQUEST_BYTES, Series, metrics};
use super::transport::Reply;
use crate::feature::Shown;

/// Its name on the board.
pub(super) const STAGE: &str = "otlp_metrics";

/// Series per request.
const MAX_SERIES: usize = 4096;

/// What is sent, how often and in which form.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) interval: Duration,
    pub(super) shown: Shown,
    pub(super) aggregation: Aggregation,
    pub(super) temporality: Temporality,
}

/// The work of this exporter.
pub(super) struct Metrics {
    pub(super) meter: Arc<Meter>,
    pub(super) courier: Courier,
    pub(super) rules: Rules,
    pub(super) about: About,
    pub(super) deltas: Deltas,
    pub(super) taken: Counter,
    pub(super) too_large: Counter,
}

impl Metrics {
    /// Runs until `closing`, then finishes the round under way and sends once more, for at most [`FLUSH_LIMIT`].
    pub(super) async fn run(mut self, closing: Closing) {
        let mut end = closing.clone();
        let limit = async {
            end.wait().await;
            tokio::time::sleep(FLUSH_LIMIT).await;
        };
        tokio::select! {
            () = self.rounds(closing) => {}
            () = limit => tracing::warn!(unit = STAGE, "not everything was sent before the end"),
        }
    }

    async fn rounds(&mut self, mut closing: Closing) {
        let mut due = Instant::now() + self.rules.interval;
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                () = closing.wait() => break,
            }
            self.send().await;
            due = (due + self.rules.interval).max(Instant::now());
        }
        self.send().await;
    }

    /// Sends what the meter holds now.
    async fn send(&mut self) {
        let at = now();
        let items = self.items(at);
        self.taken.add(count(items.len()));
        let mut load = self.courier.load(count(items.len()));
        let form = (self.rules.aggregation, self.rules.temporality);
        let mut parts: Vec<_> = items.chunks(MAX_SERIES).rev().collect();
        while let Some(part) = parts.pop() {
            let shown: Vec<_> =
                part.iter().map(|item| item.delta.as_ref().unwrap_or(&item.series)).collect();
            let request = metrics(&shown, at, &clock(), &self.about, form);
            if request.encoded_len() <= MAX_REQUEST_BYTES {
                let body = request.encode_to_vec().into();
                drop((request, shown));
                let points = count(part.len());
                let courier = &mut self.courier;
                if courier.deliver::<ExportMetricsServiceResponse>(body, points, &mut load).await {
                    let taken = part.iter().filter(|item| item.delta.is_some());
                    self.deltas.taken(taken.map(|item| &item.series), at);
                }
            } else if part.len() > 1 {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            } else {
                self.too_large.inc();
                load.settle(1);
            }
        }
    }

    /// Everything there is to say at `at`.
    fn items(&mut self, at: Mono) -> Vec<Item> {
        let wanted = |group, protocol: &str| self.rules.shown.has(group, protocol);
        let families = self.meter.snapshot(at, &wanted).into_iter();
        let series: Vec<_> = families.flat_map(Series::of).collect();
        match self.rules.temporality {
            Temporality::Cumulative => {
                series.into_iter().map(|series| Item { series, delta: None }).collect()
            }
            Temporality::Delta => {
                let deltas = self.deltas.of(&series).into_iter();
                let both = series.into_iter().zip(deltas);
                both.filter_map(|(series, delta)| Some(Item { series, delta: Some(delta?) }))
                    .collect()
            }
        }
    }
}

/// One series, and what of it is new when only that is sent.
struct Item {
    series: Series,
    delta: Option<Series>,
}

impl Reply for ExportMetricsServiceResponse {
    fn rejected(self) -> (i64, String) {
        let partial = self.partial_success.unwrap_or_default();
        (partial.rejected_data_points, partial.error_message)
    }
}
