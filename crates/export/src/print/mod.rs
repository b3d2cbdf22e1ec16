// SPDX-License-Identifier: Apache-2.0
//! Prints one line per span and per flow, or whole traces, or counts the spans.
//!
//! In: batches. Out: text or JSON on a given writer. Lines of what has piled up are written together, on a
//! thread that may block, so that a slow terminal holds up nothing but this exporter. When nobody reads any
//! more (a closed pipe), the exporter says so once and ends.

mod flows;
mod json;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

pub use flows::PrintFlows;
use jiff::tz::TimeZone;
use serde::Deserialize;
use text::Stamps;
use vor_health::{Board, Verdict};
use vor_model::{Clock, Flow, Span};
use vor_pipeline::{Batch, Exporter, Inbox, Source, StartError, Task, clock};

/// Lines are written when they are this long together, or when nothing more waits.
const FLUSH_BYTES: usize = 64 * 1024;

/// How spans are printed: `disabled`, `text`, `json`, `json_indent`, `tree` or `counter`. (`trace_printer`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TracePrinter {
    /// Not at all.
    #[default]
    Disabled,
    /// One line of text each.
    Text,
    /// One line of JSON each.
    Json,
    /// JSON over several lines each.
    JsonIndent,
    /// Whole traces, each span below its parent.
    Tree,
    /// Only how many there were, at the end.
    Counter,
}

/// Where lines go.
#[derive(Clone)]
pub struct Output {
    writer: Arc<Mutex<dyn Write + Send>>,
    colour: bool,
}

impl Output {
    /// Standard output, coloured when that is a terminal and `no_color` (the variable `NO_COLOR`) is not set.
    #[must_use]
    pub fn stdout(no_color: bool) -> Self {
        let writer = io::stdout();
        let colour = !no_color && writer.is_terminal();
        Self { writer: Arc::new(Mutex::new(writer)), colour }
    }

    /// Standard error, coloured likewise.
    #[must_use]
    pub fn stderr(no_color: bool) -> Self {
        let writer = io::stderr();
        let colour = !no_color && writer.is_terminal();
        Self { writer: Arc::new(Mutex::new(writer)), colour }
    }

    /// Anywhere else, without colours.
    pub fn plain(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)), colour: false }
    }

    /// Writes all of `bytes`, in one piece however many write here.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(bytes).and_then(|()| writer.flush())
    }
}

/// The exporter.
pub struct Print {
    printer: TracePrinter,
    flows: PrintFlows,
    output: Output,
}

/// Its names on the board.
const SPANS: &str = "print";
const FLOWS: &str = "print_flows";

impl Print {
    /// Prints spans as `printer` and flows as `flows` says, to `output`.
    #[must_use]
    pub fn new(printer: TracePrinter, flows: PrintFlows, output: Output) -> Self {
        Self { printer, flows, output }
    }

    fn start_spans(&self, from: &mut Source<'_>) -> Option<Task> {
        let output = self.output.clone();
        let mut format = match self.printer {
            TracePrinter::Disabled => return None,
            TracePrinter::Counter => {
                let (inbox, board) = (from.spans(SPANS), from.board());
                return Some(Box::pin(count(inbox, output, board)));
            }
            TracePrinter::Tree => {
                let (inbox, board) = (from.spans(SPANS), from.board());
                return Some(Box::pin(tree::print(inbox, output, board)));
            }
            TracePrinter::Text => {
                Format::Text { stamps: Stamps::new(TimeZone::system()), colour: output.colour }
            }
            TracePrinter::Json => Format::Json { indent: false },
            TracePrinter::JsonIndent => Format::Json { indent: true },
        };
        let (inbox, board) = (from.spans(SPANS), from.board());
        let write =
            move |span: &Span, clock: &Clock, to: &mut Vec<u8>| format.write(span, clock, to);
        Some(Box::pin(print(SPANS, inbox, write, output, board)))
    }

    fn start_flows(&self, from: &mut Source<'_>) -> Option<Task> {
        let json = match (self.flows, self.printer) {
            (PrintFlows::No, _) => return None,
            (PrintFlows::Json, _)
            | (PrintFlows::Yes, TracePrinter::Json | TracePrinter::JsonIndent) => true,
            (PrintFlows::Text | PrintFlows::Yes, _) => false,
        };
        let write = if json { flows::json } else { flows::text };
        let (inbox, board) = (from.flows(FLOWS), from.board());
        let write = move |flow: &Flow, _: &Clock, to: &mut Vec<u8>| write(flow, to);
        Some(Box::pin(print(FLOWS, inbox, write, self.output.clone(), board)))
    }
}

impl Exporter for Print {
    fn name(&self) -> &'static str {
        SPANS
    }

    fn start(self: Box<Self>, from: &mut Source<'_>) -> Result<Option<Task>, StartError> {
        let (spans, flows) = (self.start_spans(from), self.start_flows(from));
        Ok(match (spans, flows) {
            (None, None) => None,
            (Some(task), None) | (None, Some(task)) => Some(task),
            (Some(spans), Some(flows)) => Some(Box::pin(async move {
                tokio::join!(spans, flows);
            })),
        })
    }
}

/// How one span becomes bytes.
enum Format {
    Text { stamps: Stamps, colour: bool },
    Json { indent: bool },
}

impl Format {
    fn write(&mut self, span: &Span, clock: &Clock, to: &mut Vec<u8>) {
        match self {
            Self::Text { stamps, colour } => text::write(span, clock, stamps, *colour, to),
            Self::Json { indent } => json::write(span, clock, *indent, to),
        }
    }
}

/// Writes a line for everything that comes, counted as stage `name`.
async fn print<T>(
    name: &'static str,
    mut inbox: Inbox<T>,
    mut format: impl FnMut(&T, &Clock, &mut Vec<u8>),
    output: Output,
    board: Arc<Board>,
) {
    let (printed, lost) = (board.counter(name, "out"), board.counter(name, "lost.write"));
    let mut lines = Vec::with_capacity(FLUSH_BYTES);
    while let Some(batch) = inbox.recv().await {
        let clock = clock();
        let mut items = 0_u64;
        let mut add = |batch: Batch<T>, lines: &mut Vec<u8>| {
            for item in batch.iter() {
                format(item, &clock, lines);
                items += 1;
            }
        };
        add(batch, &mut lines);
        while lines.len() < FLUSH_BYTES
            && let Some(batch) = inbox.try_recv()
        {
            add(batch, &mut lines);
        }
        let output = output.clone();
        let write = tokio::task::spawn_blocking(move || {
            let result = output.write(&lines);
            lines.clear();
            (lines, result)
        });
        let Ok((emptied, result)) = write.await else { return };
        lines = emptied;
        if let Err(error) = result {
            lost.add(items);
            board.judge(name, Verdict::Failed(format!("cannot write: {error}")));
            tracing::warn!(unit = name, %error, "nothing is printed any more");
            return;
        }
        printed.add(items);
    }
}

async fn count(mut inbox: Inbox<Span>, output: Output, board: Arc<Board>) {
    let counted = board.counter(SPANS, "out");
    while let Some(batch) = inbox.recv().await {
        counted.add(vor_health::count(batch.len()));
    }
    if let Err(error) = output.write(format!("{} spans\n", counted.get()).as_bytes()) {
        tracing::warn!(unit = SPANS, %error, "the number of spans is not printed");
    }
}
