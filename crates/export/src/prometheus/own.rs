// SPDX-License-Identifier: Apache-2.0
//! Metrics of vor itself: the board as families.

use vor_health::{Board, Verdict};

use super::Build;
use super::families::{Family, Kind, Metric, Number, exact, word};
use crate::otlp;

/// What is known of vor's own work. Counters keep the law of the board: in = out + lost, at every stage.
pub(super) fn families(board: &Board, build: &Build, prefix: &str) -> Vec<Family> {
    let mut taken = family("vor_stage_in", "What a stage took in", Kind::Counter, &["stage"]);
    let mut given = family("vor_stage_out", "What a stage handed on", Kind::Counter, &["stage"]);
    let labels = ["stage", "reason"];
    let mut lost = family("vor_stage_lost", "What a stage lost, and why", Kind::Counter, &labels);
    let labels = ["stage", "what"];
    let help = "Everything else that a stage counts";
    let mut other = family("vor_stage_reading", help, Kind::Gauge, &labels);
    for reading in board.readings() {
        let (stage, value) = (reading.stage, exact(reading.value));
        match (reading.what, reading.what.strip_prefix("lost.")) {
            (_, Some(reason)) => lost.metrics.push(metric(&[stage, reason], value)),
            ("in", None) => taken.metrics.push(metric(&[stage], value)),
            ("out", None) => given.metrics.push(metric(&[stage], value)),
            (what, None) => other.metrics.push(metric(&[stage, what], value)),
        }
    }
    let mut exports = Vec::new();
    for (stage, signal) in otlp::STAGES.into_iter().zip(["trace", "metric"]) {
        for (what, suffix, help) in [
            ("out", "exports", "Items that a collector took"),
            ("errors", "export_errors", "Requests to a collector that failed"),
        ] {
            let mut readings = board.readings().into_iter();
            let found = readings.find(|reading| (reading.stage, reading.what) == (stage, what));
            let name = format!("{}_otel_{signal}_{suffix}", word(prefix));
            let mut made = family(&name, help, Kind::Counter, &[]);
            made.metrics.extend(found.map(|reading| metric(&[], exact(reading.value))));
            exports.push(made);
        }
    }
    let help = "What became of a unit";
    let mut units = family("vor_unit", help, Kind::Info, &["unit", "state", "reason"]);
    for (unit, verdict) in board.verdicts() {
        let (state, reason) = match &verdict {
            Verdict::Active => ("active", ""),
            Verdict::Degraded(why) => ("degraded", why.as_str()),
            Verdict::Unsupported(why) => ("unsupported", why.as_str()),
            Verdict::Failed(why) => ("failed", why.as_str()),
        };
        units.metrics.push(metric(&[unit, state, reason], 1.0));
    }
    let name = format!("{}_internal_build", word(prefix));
    let mut version = family(&name, "Version of vor", Kind::Info, &["version", "revision"]);
    version.metrics.push(metric(&[build.version, build.revision], 1.0));
    let all = [taken, given, lost, other].into_iter().chain(exports).chain([units, version]);
    all.filter(|family| !family.metrics.is_empty()).collect()
}

/// What vor was built from, beside the metrics of services: once per language among them.
pub(super) fn build_info(build: &Build, prefix: &str, languages: &[&'static str]) -> Family {
    let labels = ["target_lang", "goos", "goarch", "version", "revision"];
    let name = format!("{}_build", word(prefix));
    let mut made = family(&name, "Version of the agent", Kind::Info, &labels);
    // Named as Beyla names it: dashboards ask for the words of the Go toolchain.
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    for language in languages {
        let labels = [language, std::env::consts::OS, arch, build.version, build.revision];
        made.metrics.push(metric(&labels, 1.0));
    }
    made
}

pub(super) fn family(name: &str, help: &str, kind: Kind, labels: &[&str]) -> Family {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Family { name: name.to_owned(), help: help.to_owned(), kind, labels, metrics: Vec::new() }
}

pub(super) fn metric(labels: &[&str], value: f64) -> Metric {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Metric { labels, mark: None, number: Number::Single(value) }
}
