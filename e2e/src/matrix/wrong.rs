// SPDX-License-Identifier: Apache-2.0
//! Wrong offsets do no harm: a real program, observed with tables in which offsets are made up.

use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{CALLS, Cell, SHARED};
use crate::collector::Span;
use crate::ports;
use crate::scenario::Expected;
use crate::scene::Scene;
use crate::scrape::Sample;

const TABLE: &str = include_str!("../../../crates/exe/src/go/offsets.txt");
/// Tables that are tried: of how many offsets one is made up, and what is spoken. Each is another one, and the same in
/// every run.
const TABLES: [(u64, &str); 10] = [
    (1, "plain"),
    (1, "tls2"),
    (4, "plain"),
    (4, "tls2"),
    (8, "plain"),
    (8, "tls2"),
    (16, "plain"),
    (16, "tls2"),
    (16, "plain"),
    (16, "tls2"),
];
/// Where one of several offsets is made up, those of other structs are as they are: a program whose connections are
/// not found tells nothing of the rest.
const ALTERED: &str = "net/";
/// In this time the last of what was told has been counted.
const SETTLED: Duration = Duration::from_millis(500);

/// Observes a stripped server and its client with each of the tables.
pub(super) fn run(cell: &Cell, scene: &mut Scene<'_>) -> Result<Expected> {
    let (mut refused, mut told) = (0.0, 0.0);
    for (seed, (among, way)) in (0..).zip(TABLES) {
        let port = ports::free()?;
        let (text, calls) = (port.to_string(), CALLS.to_string());
        let server = scene.serve(cell.command(&["serve", &text, way]), port)?;
        let client = scene.start(cell.command(&["call", &text, way, &calls]))?;
        let table = scene.dir().join(format!("offsets-{seed}.txt"));
        fs::write(&table, scrambled(seed, among))?;
        let settings = scene.executable(&format!("^{}$", cell.program().display()))?;
        let settings = settings.with("VOR_BPF_GO_OFFSETS", table.display());
        scene.observe(&settings, &[server.pid, client.pid])?;
        scene.probed(1)?;
        // Ends well only if every answer was as it should be.
        scene.go(client).with_context(|| format!("table {seed}"))?;
        ensure!(scene.program(server)?.ended()?.is_none(), "the server ended");
        thread::sleep(SETTLED);
        let own = scene.vor()?.own_metrics()?;
        refused += of_go(&own, "vor_stage_lost_total");
        told += of_go(&own, "vor_stage_out_total");
        scene
            .dismiss(&[&SHARED[..], &["go_http/decode"]].concat())
            .with_context(|| format!("table {seed}"))?;
        let spans: Vec<Span> = scene.collector.arrived().spans.drain(..).collect();
        for span in spans.iter().filter(|span| span.kind != SpanKind::Internal) {
            true_or_empty(span).with_context(|| format!("table {seed}: {:?}", span.attrs))?;
        }
    }
    ensure!(refused > 0.0 && told > 0.0, "{refused} refused, {told} told: the tables try nothing");
    Ok(Expected::default())
}

/// What the Go units counted by this name.
fn of_go(own: &[Sample], name: &str) -> f64 {
    let counts = own.iter().filter(|sample| sample.name == name);
    counts.filter(|s| s.label("stage").starts_with("go_")).map(|sample| sample.value).sum()
}

/// The table with another offset, of up to 1 KiB, in place of one of so many: most are multiples of eight, as real
/// ones.
fn scrambled(seed: u64, among: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    };
    let mut altered = true;
    let lines = TABLE.lines().map(|line| {
        let field = line.strip_prefix(' ').and_then(|field| field.split_once(' '));
        if field.is_none() {
            altered = among == 1 || line.starts_with(ALTERED);
        }
        match field {
            Some((field, _)) if altered && random() % among == 0 => {
                let step = if random() % 4 == 0 { 1 } else { 8 };
                format!(" {field} {}@0.0.1\n", random() % 128 * step)
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// What a span says is what was said, or nothing: where a wrong offset finds zeros, a client's path is empty, a body has
/// no bytes, and a handler has written nothing and so answered 200.
fn true_or_empty(span: &Span) -> Result<()> {
    let path = if span.server { span.attr("url.path") } else { span.attr("url.full") };
    let item =
        path.rsplit_once("/item/").is_some_and(|(_, item)| ["1", "2", "3", "4"].contains(&item));
    let missing = path.ends_with("/nowhere");
    ensure!(item || missing || !span.server && path.ends_with('/'), "the path");
    ensure!(span.attr("http.request.method") == "GET", "the method");
    ensure!(["0", ""].contains(&span.attr("http.request.body.size")), "the size of the request");
    let answer = [span.attr("http.response.status_code"), span.attr("http.response.body.size")];
    let said = match answer {
        ["200", "8" | "0" | ""] => !missing,
        ["404", "19" | "0" | ""] => !item,
        _ => false,
    };
    ensure!(said || span.server && answer == ["200", "0"], "the answer");
    Ok(())
}
