// SPDX-License-Identifier: Apache-2.0
//! Wrong offsets do no harm: a real program, observed with tables in which every offset is made up.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{CALLS, Cell};
use crate::collector::Span;
use crate::ports;
use crate::scenario::Expected;
use crate::scene::Scene;
use crate::scrape::Sample;

const TABLE: &str = include_str!("../../../crates/exe/src/go/offsets.txt");
/// Tables that are tried; each is another one, and the same in every run.
const TABLES: u64 = 8;

/// Observes a stripped server and its client with each of the tables.
pub(super) fn run(cell: &Cell, scene: &mut Scene<'_>) -> Result<Expected> {
    let (mut refused, mut told) = (0.0, 0.0);
    for seed in 0..TABLES {
        let port = ports::free()?;
        let (text, calls) = (port.to_string(), CALLS.to_string());
        let server = scene.serve(cell.command(&["serve", &text, "plain"]), port)?;
        let client = scene.start(cell.command(&["call", &text, "plain", &calls]))?;
        let table = scene.dir().join(format!("offsets-{seed}.txt"));
        fs::write(&table, scrambled(seed))?;
        let settings = scene.executable(&format!("^{}$", cell.program().display()))?;
        let settings = settings.with("VOR_BPF_GO_OFFSETS", table.display());
        scene.observe(&settings, &[server.pid, client.pid])?;
        scene.probed(1)?;
        // Ends well only if every answer was as it should be.
        scene.go(client).with_context(|| format!("table {seed}"))?;
        ensure!(scene.program(server)?.ended()?.is_none(), "the server ended");
        let own = scene.vor()?.own_metrics()?;
        refused += of_go(&own, "vor_stage_lost_total");
        told += of_go(&own, "vor_stage_out_total");
        scene.dismiss(&["go_http/decode"]).with_context(|| format!("table {seed}"))?;
        let spans: Vec<Span> = scene.collector.arrived().spans.drain(..).collect();
        for span in spans {
            plausible(&span).with_context(|| format!("table {seed}: {:?}", span.attrs))?;
        }
    }
    // What a program in the kernel cannot read it does not tell, and user space has nothing to refuse.
    let calls = f64::from(u32::try_from(2 * CALLS * usize::try_from(TABLES)?)?);
    ensure!(refused > 0.0 || told < calls, "every table was taken for right");
    Ok(Expected::default())
}

/// What the Go units counted by this name.
fn of_go(own: &[Sample], name: &str) -> f64 {
    let counts = own.iter().filter(|sample| sample.name == name);
    counts.filter(|s| s.label("stage").starts_with("go_")).map(|sample| sample.value).sum()
}

/// The table with an offset of up to 1 KiB in place of each: most are multiples of eight, as real ones.
fn scrambled(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    };
    let lines = TABLE.lines().map(|line| {
        match line.strip_prefix(' ').and_then(|field| field.split_once(' ')) {
            Some((field, _)) => {
                let step = if random() % 4 == 0 { 1 } else { 8 };
                format!(" {field} {}@0.0.1\n", random() % 128 * step)
            }
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// What a span says must be what was said, or nothing.
fn plausible(span: &Span) -> Result<()> {
    ensure!(span.attr("http.request.method") == "GET", "the method");
    let status = span.attr("http.response.status_code");
    ensure!(["200", "404", ""].contains(&status), "the status");
    let path = if span.server { span.attr("url.path") } else { span.attr("url.full") };
    ensure!(path.contains("/item/") || path.contains("/nowhere"), "the path");
    for size in ["http.request.body.size", "http.response.body.size"] {
        let size = span.attr(size);
        ensure!(size.len() <= 6, "a size");
    }
    Ok(())
}
