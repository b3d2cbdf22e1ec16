// SPDX-License-Identifier: Apache-2.0
//! `bench propagation`: instructions per request for each mode of context propagation, with both ends observed.
//!
//! One boot with a clock that counts instructions; vor is started there once per mode.

use anyhow::{Context, Result};
use clap::Args;

use super::{
    Tools,
    overhead::{KERNEL, Measured, kilo},
    write,
};
use crate::{
    exec::say,
    repo::Repo,
    vm::{self, guest::Guest},
};

/// What writes nothing: the others are held against it.
const NOTHING: &str = "disabled";
const MODES: [&str; 4] = [NOTHING, "tcp", "headers", "all"];
const BEYLA: &str = "Beyla 2.1";
const COLUMNS: &[&str] = &["", NOTHING, "tcp", "headers", "all", BEYLA];

/// How the client connects, what the rows say of that, and what context propagation of Beyla 2.1 adds then, measured
/// the same way. With new connections that is what it adds to a pair that is not selected, its own work not counted.
const CONNECTIONS: [(&str, &str, i64); 2] =
    [("keep", "one connection", 30_000), ("fresh", "a new connection per request", 42_000)];

/// The least that a mode adds to the packets of a request: an option of 26 bytes, a line of 70.
const WRITTEN: [(&str, &str, i64); 4] =
    [("keep", "tcp", 26), ("keep", "all", 26), ("fresh", "tcp", 26), ("fresh", "headers", 70)];

const MADE: &str = "kernel, door, date, commit";

#[derive(Args)]
pub(crate) struct Propagation {
    /// The door through which vor watches
    #[arg(long, default_value = "fentry")]
    door: String,
    /// Requests on the one connection; a quarter of that on new ones
    #[arg(long, default_value_t = 4000)]
    requests: u32,
}

pub(crate) fn run(repo: &Repo, wanted: &Propagation) -> Result<bool> {
    let tools = Tools::build(repo)?;
    let kernel = vm::matrix(repo, Some(KERNEL))?.pop().context("no kernel")?;
    let guest = Guest::new(repo, &kernel)?;
    let measured =
        Measured::boot(&tools, &guest, ["propagation", &wanted.door, "c"], wanted.requests)?;
    let made = format!("{}, {}, {}, {}", guest.release, wanted.door, repo.date()?, repo.commit()?);
    let cells = cells(&measured)?;
    write(repo, "propagation", COLUMNS, |table| {
        for (row, mode, value) in &cells {
            table.set(row, mode, value);
        }
        table.set(MADE, NOTHING, &made);
        table.set(MADE, BEYLA, "6.12.117, 2026-11-23");
    })?;
    let missing = missing(&measured)?;
    for what in &missing {
        say(format_args!("FAILED {what}"));
    }
    Ok(missing.is_empty())
}

/// Row, mode and value.
type Cell = (String, &'static str, String);

fn cells(measured: &Measured) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for (how, said, beyla) in CONNECTIONS {
        let all = |mode| {
            Ok::<_, anyhow::Error>(measured.pair(how, mode)?.both() + measured.agent(how, mode)?)
        };
        let added_row = format!("**added, all together, {said}**");
        for mode in MODES {
            let ends = measured.pair(how, mode)?;
            let bytes = added_bytes(measured, how, mode)?;
            cells.extend([
                (format!("client, {said}"), mode, kilo(ends.client)),
                (format!("server, {said}"), mode, kilo(ends.server)),
                (format!("the agent, {said}"), mode, kilo(measured.agent(how, mode)?)),
            ]);
            if mode != NOTHING {
                let added = all(mode)? - all(NOTHING)?;
                cells.extend([
                    (added_row.clone(), mode, kilo(added)),
                    (format!("… of Beyla's, {said}"), mode, percent(added, beyla)),
                    (format!("bytes added to packets, {said}"), mode, bytes.to_string()),
                ]);
            }
        }
        cells.push((added_row, BEYLA, kilo(beyla)));
    }
    Ok(cells)
}

fn percent(part: i64, whole: i64) -> String {
    format!("{} %", (part * 100 + whole / 2).div_euclid(whole))
}

/// Bytes of packets per request and its answer, against the mode that writes nothing.
fn added_bytes(measured: &Measured, how: &str, mode: &str) -> Result<i64> {
    let bytes = |mode: &str| measured.number(&format!("bytes-{how}-{mode}"));
    Ok(bytes(mode)? - bytes(NOTHING)?)
}

/// Modes that did not write what they are for, and requests without their two spans.
fn missing(measured: &Measured) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for (how, mode, least) in WRITTEN {
        let bytes = added_bytes(measured, how, mode)?;
        if bytes < least {
            missing.push(format!("{how} {mode}: {bytes} bytes per request, expected {least}"));
        }
    }
    for (how, ..) in CONNECTIONS {
        for mode in MODES {
            let spans = measured.fact(&format!("spans-{how}-{mode}"))?;
            if spans.split_once(' ').is_none_or(|(seen, expected)| seen != expected) {
                missing.push(format!("{how} {mode}: spans seen and expected: {spans}"));
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One boot in which each mode writes what it is for, `headers` so much, with these spans.
    fn boot(headers_bytes: i64, spans: &str) -> Measured {
        let mut measured = Measured::default();
        for (how, ..) in CONNECTIONS {
            for (mode, cost, bytes) in [
                ("disabled", 1000, 500),
                ("tcp", 1300, 528),
                ("headers", 1500, 500 + headers_bytes),
                ("all", 1600, 530),
            ] {
                measured.line(&format!("cost {how} {mode} {cost} 2000 {cost}"));
                measured.line(&format!("fact bytes-{how}-{mode} {bytes}"));
                measured.line(&format!("fact spans-{how}-{mode} {spans}"));
            }
        }
        measured
    }

    #[test]
    fn a_mode_is_held_against_the_one_that_writes_nothing() {
        let cells = cells(&boot(70, "8 8")).unwrap();
        let value = |row: &str, mode: &str| {
            let cell = cells.iter().find(|(r, m, _)| r == row && *m == mode);
            cell.map(|(_, _, value)| value.as_str())
        };
        assert_eq!(value("**added, all together, one connection**", "headers"), Some("1.0 k"));
        assert_eq!(value("… of Beyla's, one connection", "headers"), Some("3 %"));
        assert_eq!(value("bytes added to packets, one connection", "tcp"), Some("28"));
        assert_eq!(value("**added, all together, one connection**", NOTHING), None);
    }

    #[test]
    fn a_mode_that_wrote_nothing_and_a_span_that_is_missing_fail() {
        let missing = |boot: &Measured| missing(boot).unwrap();
        assert_eq!(missing(&boot(70, "8 8")), <[&str; 0]>::default());
        assert_eq!(missing(&boot(0, "8 8")), ["fresh headers: 0 bytes per request, expected 70"],);
        assert_eq!(missing(&boot(70, "7 8")).len(), CONNECTIONS.len() * MODES.len());
    }
}
