// SPDX-License-Identifier: Apache-2.0

use std::io;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use vor_pipeline::{Meter, MeterConfig, Outlet};

use super::text::GoDuration;
use super::tree::Forest;
use super::*;
use crate::sample::{answered, clock as at_noon, failed_call, flows_of_pods, golden};
use vor_model::semconv::PARENT_METHOD;
use vor_model::{Interval, Mono, SpanId};

fn printed(format: &mut Format) -> String {
    let mut lines = Vec::new();
    for span in [answered(Duration::from_micros(2_870), 12), failed_call()] {
        format.write(&span, &at_noon(), &mut lines);
    }
    String::from_utf8(lines).unwrap()
}

fn text(colour: bool) -> Format {
    Format::Text { stamps: Stamps::new(TimeZone::fixed(jiff::tz::offset(2))), colour }
}

#[test]
fn text_has_one_line_per_span_whatever_strangers_send() {
    let lines = printed(&mut text(false));
    assert_eq!(lines.lines().count(), 2);
    golden("print/golden/text.txt", &lines);
}

#[test]
fn colours_change_nothing_but_colours() {
    let mut plain = printed(&mut text(true));
    for code in ["\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, printed(&mut text(false)));
}

#[test]
fn json_has_one_object_per_line() {
    let lines = printed(&mut Format::Json { indent: false });
    for line in lines.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["traceID"], "ab".repeat(16));
    }
    golden("print/golden/spans.jsonl", &lines);
    golden("print/golden/indented.json", &printed(&mut Format::Json { indent: true }));
}

#[test]
fn flows_have_one_line_each_whatever_strangers_are_called() {
    let mut lines = Vec::new();
    for flow in flows_of_pods() {
        flows::text(&flow, &mut lines);
    }
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.lines().all(|line| line.starts_with("network_flow: transport=")));
    golden("print/golden/flows.txt", &lines);
    let mut lines = Vec::new();
    for flow in flows_of_pods() {
        flows::json(&flow, &mut lines);
    }
    let lines = String::from_utf8(lines).unwrap();
    let object: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&object["bytes"], &object["transport"]), (&1500.into(), &"TCP".into()));
    golden("print/golden/flows.jsonl", &lines);
}

#[test]
fn whether_flows_are_printed_can_be_said_in_several_words() {
    for (said, expected) in [
        ("true", PrintFlows::Yes),
        ("false", PrintFlows::No),
        ("\"1\"", PrintFlows::Yes),
        ("\"TRUE\"", PrintFlows::Yes),
        ("\"json\"", PrintFlows::Json),
        ("\"text\"", PrintFlows::Text),
    ] {
        assert_eq!(serde_json::from_str::<PrintFlows>(said).unwrap(), expected);
    }
    assert!(serde_json::from_str::<PrintFlows>("\"yaml\"").is_err());
}

#[tokio::test]
async fn flows_and_spans_share_the_paper_line_by_line() {
    let (board, paper) = (Board::new(), Paper::default());
    let mut spans = Outlet::new(100, Arc::clone(&board));
    let mut flows = Outlet::new(100, Arc::clone(&board));
    let meter = Meter::new(MeterConfig::default(), &board);
    let mut source = Source::new(&mut spans, &mut flows, meter, Arc::clone(&board));
    let output = Output::plain(paper.clone());
    let print = Box::new(Print::new(TracePrinter::Json, PrintFlows::Yes, output));
    let task = tokio::spawn(print.start(&mut source).unwrap().unwrap());
    for _ in 0..10 {
        spans.put(&mut vec![answered(Duration::from_millis(1), 0); 3]);
        flows.put(&mut flows_of_pods().to_vec());
        tokio::task::yield_now().await;
    }
    drop((spans, flows));
    task.await.unwrap();
    let lines = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    let objects = lines.lines().map(serde_json::from_str::<serde_json::Value>);
    let objects: Vec<_> = objects.collect::<Result<_, _>>().unwrap();
    let of_flows = objects.iter().filter(|object| object.get("packets").is_some()).count();
    assert_eq!((objects.len(), of_flows), (50, 20));
    assert_eq!(board.counter("print_flows", "out").get(), 20);
}

#[test]
fn durations_look_as_go_prints_them() {
    for (nanos, expected) in [
        (0, "0s"),
        (999, "999ns"),
        (1_000, "1µs"),
        (432_191, "432.191µs"),
        (2_870_000, "2.87ms"),
        (1_000_000_001, "1.000000001s"),
        (1_200_000_000, "1.2s"),
        (60_000_000_000, "1m0s"),
        (3_723_500_000_000, "1h2m3.5s"),
    ] {
        assert_eq!(GoDuration(Duration::from_nanos(nanos)).to_string(), expected);
    }
}

/// What was written, shared with the test.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says when it is asked to write, and waits until it may.
struct Slow(mpsc::SyncSender<()>, mpsc::Receiver<()>, Paper);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(());
        let _ = self.1.recv();
        self.2.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Running {
    outlet: Outlet<Span>,
    board: Arc<Board>,
    task: tokio::task::JoinHandle<()>,
}

fn start(printer: TracePrinter, writer: impl Write + Send + 'static) -> Running {
    let board = Board::new();
    let mut outlet = Outlet::new(7, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let meter = Meter::new(MeterConfig::default(), &board);
    let mut source = Source::new(&mut outlet, &mut flows, meter, Arc::clone(&board));
    let exporter = Box::new(Print::new(printer, PrintFlows::No, Output::plain(writer)));
    let task = tokio::spawn(exporter.start(&mut source).unwrap().unwrap());
    Running { outlet, board, task }
}

impl Running {
    fn put(&self, count: usize) {
        let span = answered(Duration::from_millis(1), 0);
        self.outlet.put(&mut vec![span; count]);
    }

    /// Ends the exporter; counts of in, out and lost.
    async fn end(self) -> (u64, u64, u64) {
        drop(self.outlet);
        self.task.await.unwrap();
        let readings = self.board.readings();
        let of = |wanted: fn(&str) -> bool| {
            let ours = readings.iter().filter(|r| r.stage == "print" && wanted(r.what));
            ours.map(|r| r.value).sum()
        };
        (of(|what| what == "in"), of(|what| what == "out"), of(|what| what.starts_with("lost.")))
    }
}

#[tokio::test]
async fn every_span_is_printed_or_counted_as_lost_when_the_reader_is_slow() {
    let paper = Paper::default();
    let (asked, asking) = mpsc::sync_channel(8);
    let (allow, allowed) = mpsc::sync_channel(8);
    let running = start(TracePrinter::Text, Slow(asked, allowed, paper.clone()));
    running.put(3);
    // The writer holds the first batch; two more wait and the rest finds no room.
    tokio::task::spawn_blocking(move || asking.recv().unwrap()).await.unwrap();
    for _ in 0..5 {
        running.put(3);
    }
    drop(allow);
    let (taken, given, lost) = running.end().await;
    assert_eq!((taken, given, lost), (18, 9, 9));
    assert_eq!(paper.0.lock().unwrap().split(|byte| *byte == b'\n').count(), 9 + 1);
}

#[tokio::test]
async fn a_closed_pipe_ends_the_exporter_and_what_it_held_is_counted() {
    let mut running = start(TracePrinter::Json, Closed);
    running.put(3);
    (&mut running.task).await.unwrap();
    let why = running.board.verdicts();
    assert!(matches!(why[..], [("print", Verdict::Failed(_))]), "{why:?}");
    running.put(2);
    running.task = tokio::spawn(async {});
    assert_eq!(running.end().await, (5, 0, 5));
}

#[tokio::test]
async fn the_counter_tells_the_number_at_the_end() {
    let paper = Paper::default();
    let running = start(TracePrinter::Counter, paper.clone());
    running.put(3);
    running.put(4);
    assert_eq!(running.end().await, (7, 7, 0));
    assert_eq!(*paper.0.lock().unwrap(), b"7 spans\n");
}

#[test]
fn disabled_takes_no_inbox() {
    let board = Board::new();
    let mut outlet = Outlet::new(2, Arc::clone(&board));
    let mut flows = Outlet::new(1, Arc::clone(&board));
    let meter = Meter::new(MeterConfig::default(), &board);
    let mut source = Source::new(&mut outlet, &mut flows, meter, Arc::clone(&board));
    let exporter = Print::new(TracePrinter::Disabled, PrintFlows::No, Output::plain(io::sink()));
    assert!(Box::new(exporter).start(&mut source).unwrap().is_none());
    assert!(board.readings().iter().all(|reading| reading.stage != "print"));
}

#[test]
fn a_tree_has_each_span_below_its_parent_and_those_without_at_the_left() {
    let span = |id: u8, parent: Option<u8>, start: u64, path: &str| {
        let mut span = answered(Duration::from_millis(3), 0);
        (span.id, span.parent) = (SpanId([id; 8]), parent.map(|parent| SpanId([parent; 8])));
        let length = span.time.end.0 - span.time.start.0;
        span.time = Interval { start: Mono(start), end: Mono(start + length) };
        span.operation.headline.object = path.into();
        if parent.is_some() {
            span.operation.attrs.set(PARENT_METHOD, "task");
        }
        span
    };
    let mut forest = Forest::default();
    let now = Instant::now();
    for span in [
        span(4, Some(2), 40, "/grandchild"),
        span(3, Some(1), 50, "/second"),
        span(2, Some(1), 30, "/first"),
        span(5, Some(9), 60, "/stranger"),
        // Each other's parents.
        span(6, Some(7), 70, "/six"),
        span(7, Some(6), 80, "/seven"),
        span(1, None, 10, "/root"),
    ] {
        forest.add(&span, false, now);
    }
    let mut lines = Vec::new();
    assert_eq!(forest.write(now, false, &mut lines), 0);
    assert_eq!(forest.write(now + Duration::from_secs(1), false, &mut lines), 7);
    let lines = String::from_utf8(lines).unwrap();
    let shape: Vec<_> = lines
        .lines()
        .map(|line| {
            let path = line.split(' ').find(|word| word.starts_with('/')).unwrap_or("trace");
            (line.len() - line.trim_start().len(), path)
        })
        .collect();
    let (loop_one, rest) = (shape[6..].to_vec(), &shape[..6]);
    assert_eq!(
        rest,
        [
            (0, "trace"),
            (2, "/root"),
            (4, "/first"),
            (6, "/grandchild"),
            (4, "/second"),
            (2, "/stranger")
        ]
    );
    assert_eq!(loop_one.len(), 2);
    assert!(
        lines.contains("  3ms HTTP 200 GET /first svc=[shop/cart python] parent by task\n"),
        "{lines}"
    );
}

#[tokio::test]
async fn trees_that_wait_are_printed_at_the_end() {
    let paper = Paper::default();
    let running = start(TracePrinter::Tree, paper.clone());
    running.put(5);
    assert_eq!(running.end().await, (5, 5, 0));
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 6);
}
