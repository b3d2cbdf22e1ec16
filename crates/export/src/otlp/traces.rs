// SPDX-License-Identifier: Apache-2.0
//! The exporter of traces: gathers spans into batches and hands them to the courier, one at a time.
//!
//! In: batches from the inbox. Out: requests of at most `max_export_batch_size` spans and
//! [`MAX_REQUEST_BYTES`]. While the receiver does not answer, `max_queue_size` spans wait here; then the inbox is
//! left alone, and the outlet counts what it cannot put there.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use vor_health::{Board, Counter, count};
use vor_model::Span;
use vor_model::sampling::is_sampled;
use vor_pipeline::{Batch, Closing, Inbox, clock};

use super::FLUSH_LIMIT;
use super::deliver::{Courier, Load};
use super::encode::{About, MAX_REQUEST_BYTES, traces};
use super::transport::Reply;

/// Its name on the board.
pub(super) const STAGE: &str = "otlp_traces";

/// How spans are gathered and chosen.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) batch: usize,
    pub(super) queue: usize,
    pub(super) wait: Duration,
    pub(super) instrumentations: Vec<String>,
}

/// Runs until the inbox is closed and what it held is settled, or [`FLUSH_LIMIT`] after `closing`.
pub(super) async fn run(
    inbox: Inbox<Span>,
    mut closing: Closing,
    courier: Courier,
    packer: Packer,
) {
    let (batches, taken) = mpsc::channel(1);
    let (load, rules) = (courier.load(0), packer.rules.clone());
    let gather = Gather { inbox, queue: VecDeque::new(), load, rules };
    let work = async {
        tokio::join!(gather.run(batches), send(taken, courier, packer));
    };
    let limit = async {
        closing.wait().await;
        tokio::time::sleep(FLUSH_LIMIT).await;
    };
    tokio::select! {
        () = work => {}
        () = limit => tracing::warn!(unit = STAGE, "not everything was sent before the end"),
    }
}

/// Spans that leave together, and their account.
struct Parcel {
    batches: Vec<Batch<Span>>,
    load: Load,
}

/// Takes from the inbox what there is room for.
struct Gather {
    inbox: Inbox<Span>,
    queue: VecDeque<Batch<Span>>,
    /// The spans in `queue`.
    load: Load,
    rules: Rules,
}

impl Gather {
    async fn run(mut self, parcels: mpsc::Sender<Parcel>) {
        let mut due = Instant::now();
        loop {
            let waiting = self.load.left();
            let (full, room) =
                (waiting >= count(self.rules.batch), waiting < count(self.rules.queue));
            tokio::select! {
                batch = self.inbox.recv(), if room => {
                    let Some(batch) = batch else { break };
                    if waiting == 0 {
                        due = Instant::now() + self.rules.wait;
                    }
                    self.push(batch);
                }
                permit = ready(&parcels, due), if waiting > 0 && !full => {
                    let Ok(permit) = permit else { return };
                    permit.send(self.parcel());
                }
                permit = parcels.reserve(), if full => {
                    let Ok(permit) = permit else { return };
                    permit.send(self.parcel());
                }
            }
        }
        while self.load.left() > 0 {
            let parcel = self.parcel();
            if parcels.send(parcel).await.is_err() {
                return;
            }
        }
    }

    fn push(&mut self, batch: Batch<Span>) {
        self.load.add(count(batch.len()));
        self.queue.push_back(batch);
    }

    /// Whole batches up to the size of a request, at least one.
    fn parcel(&mut self) -> Parcel {
        let (mut batches, mut spans) = (Vec::new(), 0);
        while let Some(next) = self.queue.front()
            && (batches.is_empty() || spans + next.len() <= self.rules.batch)
        {
            spans += next.len();
            batches.extend(self.queue.pop_front());
        }
        Parcel { batches, load: self.load.split(count(spans)) }
    }
}

/// Room for a parcel, at `due` or later.
async fn ready(
    parcels: &mpsc::Sender<Parcel>,
    due: Instant,
) -> Result<mpsc::Permit<'_, Parcel>, mpsc::error::SendError<()>> {
    sleep_until(due).await;
    parcels.reserve().await
}

async fn send(mut parcels: mpsc::Receiver<Parcel>, mut courier: Courier, packer: Packer) {
    while let Some(Parcel { batches, mut load }) = parcels.recv().await {
        let requests = packer.requests(&batches, &mut load);
        // While the receiver is awaited, the encoded spans are enough.
        drop(batches);
        for (body, spans) in requests {
            courier.deliver::<ExportTraceServiceResponse>(body, spans, &mut load).await;
        }
    }
}

/// Chooses and encodes spans.
pub(super) struct Packer {
    rules: Rules,
    about: About,
    unselected: Counter,
    unsampled: Counter,
    too_large: Counter,
}

impl Packer {
    pub(super) fn new(rules: Rules, about: About, board: &Board) -> Self {
        let count = |what| board.counter(STAGE, what);
        let (unselected, unsampled) = (count("lost.unselected"), count("lost.unsampled"));
        Self { rules, about, unselected, unsampled, too_large: count("lost.too_large") }
    }

    /// `batches` as requests, with the number of spans in each; settles those that are in none.
    fn requests(&self, batches: &[Batch<Span>], load: &mut Load) -> Vec<(Bytes, u64)> {
        let mut spans = Vec::new();
        for span in batches.iter().flat_map(|batch| batch.iter()) {
            let wanted = &self.rules.instrumentations;
            if !wanted.iter().any(|name| name == "*" || name == span.operation.protocol) {
                self.unselected.inc();
                load.settle(1);
            } else if !is_sampled(span.flags) {
                self.unsampled.inc();
                load.settle(1);
            } else {
                spans.push(span);
            }
        }
        let mut requests = Vec::new();
        let mut parts: Vec<_> = spans.chunks(self.rules.batch).rev().collect();
        while let Some(part) = parts.pop() {
            let request = traces(part, &clock(), &self.about);
            if request.encoded_len() <= MAX_REQUEST_BYTES {
                requests.push((request.encode_to_vec().into(), count(part.len())));
            } else if part.len() > 1 {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            } else {
                self.too_large.inc();
                load.settle(1);
            }
        }
        requests
    }
}

impl Reply for ExportTraceServiceResponse {
    fn rejected(self) -> (i64, String) {
        let partial = self.partial_success.unwrap_or_default();
        (partial.rejected_spans, partial.error_message)
    }
}
