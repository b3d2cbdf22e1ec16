// SPDX-License-Identifier: Apache-2.0

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use vor_pipeline::now;

use super::receiver::{Receiver, Say};
use super::*;
use crate::otlp::metrics::STAGE;
use crate::sample::answered;

/// What each request said about durations.
fn durations(receiver: &Receiver) -> Vec<Metric> {
    let requests = receiver.book.metrics.lock().unwrap();
    let resources = requests.iter().flat_map(|request| &request.resource_metrics);
    let metrics = resources.flat_map(|resource| &resource.scope_metrics[0].metrics);
    metrics.filter(|metric| metric.name == "http.server.request.duration").cloned().collect()
}

fn measure(running: &Running, millis: &[u64]) {
    let spans: Vec<_> = millis.iter().map(|ms| answered(Duration::from_millis(*ms), 10)).collect();
    running.meter.record(&spans, now());
}

#[tokio::test]
async fn cumulative_histograms_count_from_the_beginning() {
    let receiver = Receiver::http("127.0.0.1:0", None, Vec::new()).await;
    let running = start(Settings::metrics(&format!("http://{}", receiver.at)));
    measure(&running, &[3, 30]);
    running.until("sent", |_| !durations(&receiver).is_empty()).await;
    measure(&running, &[300]);
    running.end().await;
    assert_eq!(receiver.book.paths.lock().unwrap()[0], "/v1/metrics");
    let sent = durations(&receiver);
    let of = |metric: &Metric| match metric.data.clone().unwrap() {
        Data::Histogram(histogram) => histogram,
        other => panic!("{other:?}"),
    };
    let (first, last) = (of(&sent[0]), of(sent.last().unwrap()));
    assert_eq!((first.aggregation_temporality, sent[0].unit.as_str()), (2, "s"));
    let (first, last) = (&first.data_points[0], &last.data_points[0]);
    assert_eq!((first.count, last.count), (2, 3));
    assert_eq!(first.start_time_unix_nano / 100_000_000, last.start_time_unix_nano / 100_000_000);
    assert_eq!((last.bucket_counts.iter().sum::<u64>(), last.exemplars.len()), (3, 3));
    assert_eq!(last.bucket_counts.len(), last.explicit_bounds.len() + 1);
    assert!((last.sum.unwrap() - 0.333).abs() < 1e-9);
    assert_eq!(last.exemplars[0].trace_id, vec![0xab; 16]);
    let labels: Vec<_> = last.attributes.iter().map(|pair| pair.key.as_str()).collect();
    let expected = ["http.request.method", "http.response.status_code", "http.route"];
    assert_eq!(labels[..3], expected);
}

#[tokio::test]
async fn delta_histograms_add_up_although_some_were_refused() {
    for aggregation in [Aggregation::Explicit, Aggregation::Exponential] {
        let script = vec![Say::Take(0), Say::Http(400, None)];
        let receiver = Receiver::http("127.0.0.1:0", None, script).await;
        let mut settings = Settings::metrics(&format!("http://{}", receiver.at));
        settings.metrics.temporality = Temporality::Delta;
        settings.metrics.histogram_aggregation = aggregation;
        let running = start(settings);
        measure(&running, &[1, 9_000]);
        running.until("sent", |_| receiver.book.requests() == 1).await;
        measure(&running, &[40]);
        running.until("refused", |_| receiver.book.requests() == 2).await;
        measure(&running, &[50]);
        running.until("sent", |_| receiver.book.requests() == 3).await;
        let board = running.end().await;
        assert_eq!(board.counter(STAGE, "lost.refused").get(), 2);
        let counts: Vec<_> = durations(&receiver)
            .into_iter()
            .map(|metric| match metric.data.unwrap() {
                Data::Histogram(found) => {
                    assert_eq!(found.aggregation_temporality, 1);
                    let point = &found.data_points[0];
                    assert_eq!(point.count, point.bucket_counts.iter().sum::<u64>());
                    point.count
                }
                Data::ExponentialHistogram(found) => {
                    assert_eq!(found.aggregation_temporality, 1);
                    let point = &found.data_points[0];
                    let buckets = point.positive.as_ref().unwrap();
                    assert_eq!(point.count, buckets.bucket_counts.iter().sum::<u64>());
                    point.count
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [2, 2], "{aggregation:?}");
    }
}

#[tokio::test]
async fn metrics_arrive_over_grpc_and_stop_in_time() {
    let receiver = Receiver::grpc("127.0.0.1:0", None, Vec::new()).await;
    let mut settings = Settings::metrics(&format!("http://{}", receiver.at));
    settings.metrics.protocol = Some(Protocol::Grpc);
    settings.metrics.interval = ms(60_000);
    let running = start(settings);
    measure(&running, &[3]);
    let board = running.end().await;
    assert_eq!(durations(&receiver).len(), 1, "the last word");
    assert_eq!(board.counter(STAGE, "out").get(), 2);

    let hanging = Receiver::http("127.0.0.1:0", None, vec![Say::Nothing; 9]).await;
    let running = start(Settings::metrics(&format!("http://{}", hanging.at)));
    measure(&running, &[3]);
    running.until("asked", |_| hanging.book.requests() > 0).await;
    let board = running.end().await;
    assert!(board.counter(STAGE, "lost.shutdown").get() >= 2);
}
