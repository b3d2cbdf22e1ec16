// SPDX-License-Identifier: Apache-2.0

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use confique::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vor_model::{Key, Mono};
use vor_pipeline::{MeterConfig, Outlet};

use super::text::Dialect;
use super::*;
use crate::sample::{answered, clock, failed_call, golden};

const BUILD: Build = Build { version: "1.2.3", revision: "abcdef" };

/// Two series, one of them the overflow.
fn metered(board: &Board) -> Arc<Meter> {
    let meter = Meter::new(MeterConfig { max_series: 1, ..MeterConfig::default() }, board);
    let quick = answered(Duration::from_micros(2_870), 12);
    let slow = answered(Duration::from_secs(30), 100_000);
    let instant = answered(Duration::ZERO, 0);
    meter.record(&[quick, slow, instant, failed_call()], Mono(2_000_000_000));
    meter
}

pub(super) fn shown() -> Vec<Family> {
    let points = metered(&Board::new()).snapshot(Mono(3_000_000_000), &|_, _| true);
    let points: Vec<_> = points
        .into_iter()
        .map(|mut family| {
            family.points.sort_by_key(|point| point.labels.len());
            family
        })
        .collect();
    let extra = ["team.name".to_owned()];
    let mut shown = vec![families::targets(&points, "beyla", &extra)];
    shown.push(own::build_info(&BUILD, "beyla", &["python"]));
    shown.extend(points.into_iter().map(families::measured));
    shown
}

/// Names of this machine's kind are not for goldens.
pub(super) fn neutral(page: &str) -> String {
    page.replace("arm64", "amd64")
}

#[test]
fn the_text_format_is_what_prometheus_reads() {
    let page = text::encode(&shown(), Dialect::Prometheus, &clock());
    golden("prometheus/golden/page.prom", &neutral(&page));
    check(&page);
}

#[test]
fn attributes_of_a_service_stand_beside_the_labels_of_its_metrics_once() {
    let resource =
        ["host.name", "no.such", "instance", "http.route"].map(|key| Key::from(key.to_owned()));
    let config = MeterConfig { resource: resource.into(), ..MeterConfig::default() };
    let meter = Meter::new(config, &Board::new());
    meter.record(&[answered(Duration::from_micros(2_870), 12)], Mono(2_000_000_000));
    let points = meter.snapshot(Mono(3_000_000_000), &|_, _| true);
    let page: Vec<_> = points.into_iter().map(families::measured).collect();
    let host = answered(Duration::ZERO, 0).service.attrs.get(&Key::new("host.name")).cloned();
    for family in &page {
        let mut once = family.labels.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), family.labels.len(), "{:?}", family.labels);
        let value = |name: &str| {
            let at = family.labels.iter().position(|label| label == name)?;
            family.metrics.first().map(|metric| metric.labels[at].clone())
        };
        assert_eq!(value("host_name"), host.as_ref().map(ToString::to_string));
        assert_eq!(value("no_such").as_deref(), Some(""));
    }
}

#[test]
fn openmetrics_has_units_exemplars_and_an_end() {
    let page = text::encode(&shown(), Dialect::OpenMetrics, &clock());
    assert!(page.ends_with("# EOF\n"));
    golden("prometheus/golden/page.openmetrics", &neutral(&page));
}

#[test]
fn metrics_of_vor_itself_are_well_formed() {
    let board = Board::new();
    board.counter("assemble", "in").add(5);
    board.counter("assemble", "out").add(4);
    board.counter("assemble", "lost.unclaimed").add(1);
    board.counter("assemble", "waiting").set(2);
    board.judge("tls", Verdict::Failed("no \"symbol\"\nat all".to_owned()));
    let page = text::encode(&own::families(&board, &BUILD, "beyla"), Dialect::Prometheus, &clock());
    golden("prometheus/golden/own.prom", &page);
    check(&page);
}

/// Has `promtool` check `page`.
fn check(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is no promtool; see scripts/install check");
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

fn exporter(port: u16, own_port: u16) -> Box<Prometheus> {
    let mut config = PrometheusConfig::builder().load().unwrap();
    config.port = port;
    let mut internal = InternalMetricsConfig::builder().load().unwrap();
    if own_port != 0 {
        internal.exporter = InternalExporter::Prometheus;
        internal.prometheus.port = own_port;
    }
    Box::new(Prometheus::new(config, internal, Prefix::Beyla, BUILD))
}

/// Answer to one request: head and body.
async fn ask(port: u16, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("{request}Host: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap();
    (head, answer[split + 4..].to_vec())
}

#[tokio::test]
async fn both_pages_are_served_on_one_port_until_the_end() {
    let board = Board::new();
    let mut spans = Outlet::new(1, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let meter = metered(&board);
    // What the page shows is as old as the machine; keep the series alive.
    meter.record(&[answered(Duration::from_millis(1), 1)], now());
    let port = free_port();
    let mut source = Source::new(&mut spans, &mut flows, meter, board);
    let task = exporter(port, port).start(&mut source).unwrap().unwrap();
    let task = tokio::spawn(task);

    let (head, body) = ask(port, "GET /metrics HTTP/1.1\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("version=0.0.4"), "{head}");
    let body = String::from_utf8(body).unwrap();
    for wanted in
        ["target_info{", "beyla_build_info{", "http_server_request_duration_seconds_count{"]
    {
        assert!(body.contains(wanted), "{wanted} is not in {body}");
    }
    let (head, body) =
        ask(port, "GET /metrics?x=1 HTTP/1.1\r\nAccept-Encoding: gzip\r\nAccept: application/openmetrics-text\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut page = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut page).unwrap();
    assert!(page.ends_with("# EOF\n"), "{page}");

    let (_, body) = ask(port, "GET /internal/metrics HTTP/1.1\r\n").await;
    let body = String::from_utf8(body).unwrap();
    let asked =
        format!("beyla_prometheus_http_requests_total{{port=\"{port}\",path=\"/metrics\"}} 2");
    assert!(body.contains(&asked), "{body}");

    let (head, _) = ask(port, "GET /other HTTP/1.1\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let (head, _) = ask(port, "POST /metrics HTTP/1.1\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    let (head, body) = ask(port, "HEAD /metrics HTTP/1.1\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty(), "{head}");

    drop((spans, flows));
    task.await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[test]
fn a_port_in_use_and_two_pages_in_one_place_are_refused() {
    let board = Board::new();
    let mut spans = Outlet::new(1, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let meter = Meter::new(MeterConfig::default(), &board);
    let mut source = Source::new(&mut spans, &mut flows, meter, board);
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = exporter(port, 0).start(&mut source).err().unwrap().to_string();
    assert!(refused.starts_with(&format!("cannot listen on port {port}: ")), "{refused}");

    let mut twice = exporter(9, 9);
    twice.internal.prometheus.path = UrlPath::try_from("/metrics".to_owned()).unwrap();
    let refused = twice.start(&mut source).err().unwrap().to_string();
    assert_eq!(
        refused,
        "internal_metrics.prometheus.path: /metrics on port 9 is prometheus_export's already"
    );
    assert!(exporter(0, 0).start(&mut source).unwrap().is_none());
}
