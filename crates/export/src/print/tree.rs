// SPDX-License-Identifier: Apache-2.0
//! Prints whole traces: each span below its parent, with its duration.
//!
//! A trace is printed when its root has come and nothing more for [`SETTLE`], when nothing at all has come for
//! [`PATIENCE`] (the root may be in another process, on another host), when more than [`MAX_SPANS`] wait, or at
//! the end. What comes after that is printed as a trace of its own.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vor_health::{Board, Counter, Verdict, count};
use vor_model::semconv::PARENT_METHOD;
use vor_model::{Mono, Span, SpanId, Status, TraceId};
use vor_pipeline::Inbox;

use super::text::{self, GoDuration};
use super::{Output, SPANS};

/// Spans of one exchange come from both of its ends, one after the other.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a trace without a root is waited for after its latest span.
const PATIENCE: Duration = Duration::from_secs(5);
/// Spans that wait at most, over all traces.
const MAX_SPANS: usize = 10_000;
/// Levels below which lines are not indented further.
const MAX_INDENT: usize = 64;
/// How often it is looked whose time has come.
const TICK: Duration = Duration::from_millis(100);

/// What is kept of a span: its line.
struct Leaf {
    id: SpanId,
    parent: Option<SpanId>,
    start: Mono,
    line: Vec<u8>,
}

/// A trace that is gathered.
struct Gathered {
    leaves: Vec<Leaf>,
    latest: Instant,
    rooted: bool,
}

impl Gathered {
    fn is_due(&self, now: Instant) -> bool {
        let wait = if self.rooted { SETTLE } else { PATIENCE };
        now.duration_since(self.latest) >= wait
    }
}

/// All traces that are gathered.
#[derive(Default)]
pub(super) struct Forest {
    traces: HashMap<TraceId, Gathered>,
    spans: usize,
}

impl Forest {
    /// Adds a span, which came at `now`.
    pub(super) fn add(&mut self, span: &Span, colour: bool, now: Instant) {
        let fresh = || Gathered { leaves: Vec::new(), latest: now, rooted: false };
        let trace = self.traces.entry(span.trace).or_insert_with(fresh);
        trace.latest = now;
        trace.rooted |= span.parent.is_none();
        let line = line(span, colour);
        let (id, parent, start) = (span.id, span.parent, span.time.start);
        trace.leaves.push(Leaf { id, parent, start, line });
        self.spans += 1;
    }

    /// Writes the traces whose time has come at `now`, or all; returns how many spans those had.
    pub(super) fn write(&mut self, now: Instant, all: bool, to: &mut Vec<u8>) -> usize {
        let all = all || self.spans > MAX_SPANS;
        let mut due: Vec<_> = self.traces.extract_if(|_, trace| all || trace.is_due(now)).collect();
        due.sort_by_key(|(_, trace)| trace.leaves.iter().map(|leaf| leaf.start).min());
        let mut written = 0;
        for (id, trace) in due {
            written += trace.leaves.len();
            write_trace(id, trace.leaves, to);
        }
        self.spans -= written;
        written
    }

    fn len(&self) -> usize {
        self.spans
    }
}

/// Writes each leaf below its parent; those whose parent is not here begin at the left.
fn write_trace(id: TraceId, mut leaves: Vec<Leaf>, to: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = writeln!(to, "trace {id}");
    leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.start));
    let here: HashSet<SpanId> = leaves.iter().map(|leaf| leaf.id).collect();
    let mut children = HashMap::<SpanId, Vec<Leaf>>::new();
    // To be written, the next one last.
    let mut next = Vec::new();
    for leaf in leaves {
        match leaf.parent.filter(|parent| here.contains(parent) && *parent != leaf.id) {
            Some(parent) => children.entry(parent).or_default().push(leaf),
            None => next.push((1, leaf)),
        }
    }
    loop {
        while let Some((depth, leaf)) = next.pop() {
            to.resize(to.len() + 2 * depth.min(MAX_INDENT), b' ');
            to.extend_from_slice(&leaf.line);
            next.extend(
                children.remove(&leaf.id).into_iter().flatten().map(|leaf| (depth + 1, leaf)),
            );
        }
        // Spans that are each other's parents, which strangers can make us believe.
        let Some(id) = children.keys().next().copied() else { break };
        next.extend(children.remove(&id).into_iter().flatten().map(|leaf| (1, leaf)));
    }
}

/// `12.3ms HTTP 200 GET /cart svc=[shop/cart python] parent by task`.
fn line(span: &Span, colour: bool) -> Vec<u8> {
    let mut to = Vec::new();
    let bad = matches!(span.operation.status, Status::Error(_));
    let _ = write!(to, "{} ", GoDuration(span.time.duration()));
    text::headline(&span.operation.headline, bad, colour, &mut to);
    text::service(&span.service, &mut to);
    if let Some(method) = span.operation.attrs.get(&PARENT_METHOD) {
        let _ = write!(to, " parent by {method}");
    }
    to.push(b'\n');
    to
}

/// Gathers what comes and prints it, until the inbox is closed.
pub(super) async fn print(mut inbox: Inbox<Span>, output: Output, board: Arc<Board>) {
    let counters = Counters::new(&board);
    let mut forest = Forest::default();
    loop {
        let came = tokio::time::timeout(TICK, inbox.recv()).await;
        let now = Instant::now();
        let last = matches!(came, Ok(None));
        if let Ok(Some(batch)) = came {
            for span in batch.iter() {
                forest.add(span, output.colour, now);
            }
        }
        let mut lines = Vec::new();
        let written = forest.write(now, last, &mut lines);
        counters.waiting.set(count(forest.len()));
        if written > 0 {
            let output = output.clone();
            let write = tokio::task::spawn_blocking(move || output.write(&lines));
            let Ok(result) = write.await else { return };
            if let Err(error) = result {
                counters.lost.add(count(written + forest.len()));
                board.judge(SPANS, Verdict::Failed(format!("cannot write: {error}")));
                tracing::warn!(unit = SPANS, %error, "nothing is printed any more");
                counters.waiting.set(0);
                return;
            }
            counters.printed.add(count(written));
        }
        if last {
            return;
        }
    }
}

struct Counters {
    printed: Counter,
    lost: Counter,
    waiting: Counter,
}

impl Counters {
    fn new(board: &Board) -> Self {
        let count = |what| board.counter(SPANS, what);
        Self { printed: count("out"), lost: count("lost.write"), waiting: count("waiting") }
    }
}
