// SPDX-License-Identifier: Apache-2.0

use std::time::Instant;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use prost::Message;
use tonic::Code;
use vor_health::Verdict;
use vor_model::{Key, Span, SpanId};

use super::receiver::{Papers, Receiver, Say};
use super::*;
use crate::otlp::encode::MAX_REQUEST_BYTES;
use crate::otlp::traces::STAGE;
use crate::sample::{answered, failed_call};

fn spans(count: usize) -> Vec<Span> {
    (0..count).map(|_| answered(Duration::from_millis(3), 12)).collect()
}

fn words(attributes: &[KeyValue]) -> Vec<String> {
    let value = |pair: &KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        ProtoValue::StringValue(text) => text.clone(),
        ProtoValue::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|pair| format!("{}={}", pair.key, value(pair))).collect()
}

/// A closed port.
async fn nobody() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn spans_arrive_whole_over_both_protocols_plain_and_compressed() {
    for (protocol, compression) in [
        (Protocol::Grpc, Compression::None),
        (Protocol::Grpc, Compression::Gzip),
        (Protocol::Http, Compression::None),
        (Protocol::Http, Compression::Gzip),
    ] {
        let receiver = match protocol {
            Protocol::Grpc => Receiver::grpc("127.0.0.1:0", None, Vec::new()).await,
            Protocol::Http => Receiver::http("127.0.0.1:0", None, Vec::new()).await,
        };
        let mut settings = Settings::new();
        settings.shared.endpoint = Some(format!("http://{}", receiver.at).try_into().unwrap());
        settings.shared.protocol = Some(protocol);
        settings.shared.compression = compression;
        let key = ("authorization".to_owned(), "Basic%20abc".to_owned().into());
        settings.shared.headers = Some([key].into_iter().collect());
        settings.metrics.features = Vec::new();
        let running = start(settings);
        running
            .outlet
            .put(&mut vec![answered(Duration::from_millis(3), 12), sampled(failed_call())]);
        running.settled(2).await;
        let board = running.end().await;
        assert_eq!(board.counter(STAGE, "out").get(), 2);

        let headers = receiver.book.headers.lock().unwrap().pop().unwrap();
        assert_eq!(headers["authorization"], "Basic abc");
        assert!(headers["user-agent"].to_str().unwrap().contains("vor/1.2.3"), "{headers:?}");
        let coded = headers.get("content-encoding").or(headers.get("grpc-encoding"));
        assert_eq!(coded.is_some(), compression == Compression::Gzip);
        if protocol == Protocol::Http {
            assert_eq!(*receiver.book.paths.lock().unwrap(), ["/v1/traces"]);
        }
        let request = receiver.book.traces.lock().unwrap().pop().unwrap();
        let resource = request.resource_spans[0].resource.as_ref().unwrap();
        assert_eq!(
            words(&resource.attributes),
            [
                "service.name=cart",
                "service.namespace=shop",
                "service.instance.id=host-a:4711",
                "telemetry.sdk.language=python",
                "telemetry.sdk.name=beyla",
                "telemetry.sdk.version=1.2.3",
                "host.id=abc",
                "host.name=host-a",
                "team.name=green \"and\" blue\\",
            ]
        );
        let scope = request.resource_spans[0].scope_spans[0].scope.as_ref().unwrap();
        assert_eq!((scope.name.as_str(), scope.version.as_str()), ("vor", "1.2.3"));
    }
}

fn sampled(span: Span) -> Span {
    Span { flags: 1, ..span }
}

#[tokio::test]
async fn a_span_says_what_was_seen() {
    let receiver = Receiver::http("127.0.0.1:0", None, Vec::new()).await;
    let settings = Settings::traces(&format!("http://{}", receiver.at));
    let running = start(settings);
    let mut seen = vec![answered(Duration::from_millis(3), 12), sampled(failed_call())];
    let (wall, start) = (vor_pipeline::clock(), seen[0].time.start);
    running.outlet.put(&mut seen);
    running.settled(2).await;
    running.end().await;
    let [answered, failed] = receiver.book.spans().try_into().unwrap();
    assert_eq!((answered.trace_id, answered.span_id), (vec![0xab; 16], vec![0xcd; 8]));
    assert_eq!((answered.parent_span_id, answered.flags, answered.kind), (vec![], 1, 2));
    assert_eq!(answered.name, "GET /items/*");
    assert_eq!(answered.status.unwrap().code, 0);
    assert_eq!(answered.end_time_unix_nano - answered.start_time_unix_nano, 3_000_000);
    let drift = answered.start_time_unix_nano.abs_diff(wall.unix_nanos(start));
    assert!(drift < 50_000_000, "{drift}");
    assert_eq!(
        words(&answered.attributes),
        [
            "http.request.method=GET",
            "http.response.status_code=200",
            "url.path=/items/7",
            "client.address=10.0.0.1",
            "server.address=10.0.0.2",
            "server.port=8080",
            "http.request.body.size=12",
            "http.route=/items/*",
        ]
    );
    assert_eq!((failed.parent_span_id, failed.flags, failed.kind), (vec![0xef; 8], 1, 3));
    let status = failed.status.unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "503"));
}

#[tokio::test]
async fn tls_believes_the_given_certificate_and_shows_its_own() {
    let papers = Papers::new("tls");
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = match protocol {
            Protocol::Grpc => Receiver::grpc("127.0.0.1:0", Some(&papers), Vec::new()).await,
            Protocol::Http => Receiver::http("127.0.0.1:0", Some(&papers), Vec::new()).await,
        };
        let uri = format!("https://localhost:{}", receiver.at.port());
        for (believed, skip, taken) in [(true, false, 3), (false, true, 3), (false, false, 0)] {
            let mut settings = Settings::traces(&uri);
            settings.traces.protocol = Some(protocol);
            settings.traces.backoff_max_elapsed_time = ms(50);
            settings.traces.insecure_skip_verify = skip;
            settings.shared.certificate = believed.then(|| papers.certificate());
            settings.shared.client_certificate = Some(papers.certificate());
            settings.shared.client_key = Some(papers.key());
            let running = start(settings);
            running.outlet.put(&mut spans(3));
            running.settled(3).await;
            let board = running.end().await;
            assert_eq!(board.counter(STAGE, "out").get(), taken, "{protocol:?} {board:?}");
            assert_eq!(board.counter(STAGE, "lost.unreachable").get(), 3 - taken);
        }
    }
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_gets_the_same_spans_later() {
    let second = Some(Duration::from_secs(1));
    for script in [
        vec![Say::Http(503, Some("1")), Say::Http(429, None)],
        vec![Say::Grpc(Code::ResourceExhausted, second), Say::Grpc(Code::Unavailable, None)],
    ] {
        let begun = Instant::now();
        let receiver = match script[0] {
            Say::Http(..) => Receiver::http("127.0.0.1:0", None, script).await,
            _ => Receiver::grpc("127.0.0.1:0", None, script).await,
        };
        let mut settings = Settings::traces(&format!("http://{}", receiver.at));
        if receiver.book.script.lock().unwrap().iter().any(|say| matches!(say, Say::Grpc(..))) {
            settings.traces.protocol = Some(Protocol::Grpc);
        }
        let running = start(settings);
        running.outlet.put(&mut spans(5));
        running.until("taken", |running| running.count(STAGE, "out") == 5).await;
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(receiver.book.requests(), 3);
        assert_eq!((running.count(STAGE, "requests"), running.count(STAGE, "errors")), (3, 2));
        assert_eq!(running.board.verdicts(), [(STAGE, Verdict::Active)]);
        running.end().await;
        assert_eq!(receiver.book.spans().len(), 5);
    }
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again() {
    for script in [vec![Say::Http(400, None)], vec![Say::Grpc(Code::ResourceExhausted, None)]] {
        let grpc = matches!(script[0], Say::Grpc(..));
        let receiver = if grpc {
            Receiver::grpc("127.0.0.1:0", None, script).await
        } else {
            Receiver::http("127.0.0.1:0", None, script).await
        };
        let mut settings = Settings::traces(&format!("http://{}", receiver.at));
        settings.traces.protocol = grpc.then_some(Protocol::Grpc);
        let running = start(settings);
        running.outlet.put(&mut spans(5));
        running.settled(5).await;
        let board = running.end().await;
        assert_eq!(board.counter(STAGE, "lost.refused").get(), 5);
        assert_eq!(receiver.book.requests(), 1);
        assert!(matches!(&board.verdicts()[0].1, Verdict::Failed(_)));
    }
}

#[tokio::test]
async fn items_that_a_receiver_rejects_are_counted() {
    let script = vec![Say::Take(2)];
    let receiver = Receiver::grpc("127.0.0.1:0", None, script).await;
    let mut settings = Settings::traces(&format!("http://{}", receiver.at));
    settings.traces.protocol = Some(Protocol::Grpc);
    let running = start(settings);
    running.outlet.put(&mut spans(5));
    running.settled(5).await;
    let board = running.end().await;
    let count = |what| board.counter(STAGE, what).get();
    assert_eq!((count("out"), count("lost.rejected")), (3, 2));
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_the_timeout_and_then_the_spans() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let script = vec![Say::Nothing; 100];
        let receiver = match protocol {
            Protocol::Grpc => Receiver::grpc("127.0.0.1:0", None, script).await,
            Protocol::Http => Receiver::http("127.0.0.1:0", None, script).await,
        };
        let mut settings = Settings::traces(&format!("http://{}", receiver.at));
        settings.traces.protocol = Some(protocol);
        settings.traces.timeout = Some(ms(50));
        settings.traces.backoff_max_elapsed_time = ms(150);
        let running = start(settings);
        running.outlet.put(&mut spans(5));
        running.until("given up", |now| now.count(STAGE, "lost.unreachable") == 5).await;
        assert!(receiver.book.requests() >= 2);
        running.end().await;
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_bounds_what_waits_and_gets_it_when_it_is_up() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let at = nobody().await;
        let mut settings = Settings::traces(&format!("http://{at}"));
        settings.traces.protocol = Some(protocol);
        settings.traces.max_export_batch_size = 40;
        settings.traces.max_queue_size = 100;
        let running = start(settings);
        for _ in 0..200 {
            running.outlet.put(&mut spans(10));
            tokio::task::yield_now().await;
        }
        // Under way, next, queue (with the batch that fills it), inbox of 40 spans.
        let kept = 2_000 - running.count(STAGE, "lost.full");
        assert!((100..=40 + 40 + 110 + 40).contains(&kept), "{kept}");
        running.until("failed", |now| now.count(STAGE, "errors") > 0).await;
        assert!(matches!(&running.board.verdicts()[0].1, Verdict::Failed(_)));

        let receiver = match protocol {
            Protocol::Grpc => Receiver::grpc(&at.to_string(), None, Vec::new()).await,
            Protocol::Http => Receiver::http(&at.to_string(), None, Vec::new()).await,
        };
        running.until("taken", |now| now.count(STAGE, "out") == kept).await;
        assert_eq!(running.board.verdicts(), [(STAGE, Verdict::Active)]);
        let board = running.end().await;
        assert_eq!(u64::try_from(receiver.book.spans().len()).unwrap(), kept);
        assert_eq!(board.counter(STAGE, "lost.shutdown").get(), 0);
    }
}

#[tokio::test]
async fn the_end_comes_in_time_although_nobody_answers() {
    let script = vec![Say::Nothing; 100];
    let receiver = Receiver::http("127.0.0.1:0", None, script).await;
    let mut settings = Settings::traces(&format!("http://{}", receiver.at));
    settings.traces.max_export_batch_size = 10;
    settings.traces.max_queue_size = 20;
    let running = start(settings);
    for _ in 0..20 {
        running.outlet.put(&mut spans(5));
        tokio::task::yield_now().await;
    }
    let full = running.count(STAGE, "lost.full");
    let board = running.end().await;
    let count = |what| board.counter(STAGE, what).get();
    assert!(count("lost.shutdown") >= 20);
    assert_eq!(count("lost.shutdown") + count("lost.gone"), 100 - full);
}

#[tokio::test]
async fn the_end_sends_what_still_waits() {
    let receiver = Receiver::http("127.0.0.1:0", None, Vec::new()).await;
    let mut settings = Settings::traces(&format!("http://{}", receiver.at));
    settings.traces.batch_timeout = ms(60_000);
    let running = start(settings);
    running.outlet.put(&mut spans(5));
    running.end().await;
    assert_eq!(receiver.book.spans().len(), 5);
}

#[tokio::test]
async fn requests_are_bounded_in_spans_and_in_bytes() {
    let receiver = Receiver::http("127.0.0.1:0", None, Vec::new()).await;
    let mut settings = Settings::traces(&format!("http://{}", receiver.at));
    settings.traces.max_export_batch_size = 64;
    let running = start(settings);
    running.outlet.put(&mut spans(1_000));
    running.until("taken", |now| now.count(STAGE, "out") == 1_000).await;
    let mut large = spans(11);
    for (number, span) in large.iter_mut().enumerate() {
        let size = if number == 7 { MAX_REQUEST_BYTES } else { 1_000_000 };
        span.operation.attrs.set(Key::new("large"), "x".repeat(size));
        span.id = SpanId([u8::try_from(number).unwrap(); 8]);
    }
    running.outlet.put(&mut large);
    running.until("taken", |now| now.count(STAGE, "out") == 1_010).await;
    let board = running.end().await;
    assert_eq!(board.counter(STAGE, "lost.too_large").get(), 1);
    for request in receiver.book.traces.lock().unwrap().iter() {
        let spans = request.resource_spans[0].scope_spans[0].spans.len();
        assert!(spans <= 64 && request.encoded_len() <= MAX_REQUEST_BYTES);
    }
    let ids = receiver.book.spans().split_off(1_000).into_iter().map(|span| span.span_id[0]);
    assert_eq!(ids.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]);
}

#[tokio::test]
async fn spans_that_are_not_wanted_are_counted_too() {
    let receiver = Receiver::http("127.0.0.1:0", None, Vec::new()).await;
    let uri = format!("http://{}", receiver.at);
    let mut settings = Settings::traces(&uri);
    settings.traces.instrumentations = vec!["sql".to_owned()];
    let running = start(settings);
    running.outlet.put(&mut spans(3));
    assert_eq!(running.end().await.counter(STAGE, "lost.unselected").get(), 3);
    let running = start(Settings::traces(&uri));
    let mut unsampled = spans(3);
    for span in &mut unsampled {
        span.flags = 0;
    }
    running.outlet.put(&mut unsampled);
    assert_eq!(running.end().await.counter(STAGE, "lost.unsampled").get(), 3);
    assert_eq!(receiver.book.requests(), 0);
}
