// SPDX-License-Identifier: Apache-2.0
//! `bench overhead`: instructions per request with and without vor, through each door.
//!
//! One boot per door, and one per floor, with a clock that counts instructions; `tests/vm/overhead/measure` runs there.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{Tools, write};
use crate::{
    exec::say,
    page::Table,
    repo::Repo,
    vm::{
        self,
        guest::{Clock, Guest},
    },
};

/// The kernel whose figures we compare.
pub(super) const KERNEL: &str = "6.12";

/// A boot with its three workloads takes half a minute, one that starts vor for each mode, or Go programs, some minutes;
/// all of them several times that on a busy machine.
const BOOT_SECONDS: u32 = 1800;

/// What Beyla 2.1 adds, measured the same way: per observed request, and per request of a bystander.
const BEYLA_OBSERVED: i64 = 145_000;
const BEYLA_BYSTANDER: i64 = 47_000;

/// The part of that which a door may add: 1/N.
struct Ceiling {
    door: &'static str,
    observed: i64,
    bystander: i64,
}

const CEILINGS: &[Ceiling] = &[
    Ceiling { door: "fentry", observed: 4, bystander: 20 },
    Ceiling { door: "syscall", observed: 4, bystander: 10 },
    Ceiling { door: "kprobe", observed: 2, bystander: 4 },
];

const COLUMNS: &[&str] = &["", "no agent", "Beyla 2.1"];

/// The table's rows in their order, with what Beyla 2.1 has there (context propagation off).
const ROWS: &[(&str, &str)] = &[
    (rows::SERVER, "46.0 k"),
    (rows::CLIENT, "45.0 k"),
    (rows::AGENT, "89.0 k"),
    (rows::OBSERVED, "145.0 k"),
    (rows::OBSERVED_CEILING, ""),
    (rows::PAIR, "81.5 k"),
    (rows::BYSTANDER, "47.0 k"),
    (rows::BYSTANDER_FLOOR, ""),
    (rows::BYSTANDER_CEILING, ""),
    (rows::FRESH, "100.0 k"),
    (rows::READY, "7100.0 M"),
    (rows::FIRST, "9.8–11.7"),
    (rows::IDLE, "350.0 k"),
    (rows::MEMORY, "155 MB"),
    (rows::SPANS, "8500 / 8500"),
    (rows::MADE, "6.12.117, 2026-11-23"),
];

/// What the rows say.
mod rows {
    pub(super) const SERVER: &str = "server (observed)";
    pub(super) const CLIENT: &str = "client (not selected)";
    pub(super) const AGENT: &str = "the agent itself, per span, with draining";
    pub(super) const OBSERVED: &str = "**added per observed request, all together**";
    pub(super) const OBSERVED_CEILING: &str = "… its ceiling";
    pub(super) const PAIR: &str = "bystander pair (a port that is not selected)";
    pub(super) const BYSTANDER: &str = "**added to a bystander per request**";
    pub(super) const BYSTANDER_FLOOR: &str = "… its floor: empty programs on the same hooks";
    pub(super) const BYSTANDER_CEILING: &str = "… its ceiling, too";
    pub(super) const FRESH: &str = "added to a bystander, a new connection per request";
    pub(super) const READY: &str = "the agent until its first span";
    pub(super) const FIRST: &str = "start → first span, guest seconds";
    pub(super) const IDLE: &str = "idle, per second";
    pub(super) const MEMORY: &str = "peak resident memory";
    pub(super) const SPANS: &str = "spans / requests";
    pub(super) const MADE: &str = "kernel, date, commit";
}

#[derive(Args)]
pub(crate) struct Overhead {
    /// Only this door
    #[arg(long)]
    door: Option<String>,
    /// Requests per workload
    #[arg(long, default_value_t = 4000)]
    requests: u32,
}

pub(crate) fn run(repo: &Repo, wanted: &Overhead) -> Result<bool> {
    let tools = Tools::build(repo)?;
    let kernel = vm::matrix(repo, Some(KERNEL))?.pop().context("no kernel")?;
    let guest = Guest::new(repo, &kernel)?;
    write(repo, "overhead", COLUMNS, |table| {
        for &(row, value) in ROWS {
            table.set(row, "Beyla 2.1", value);
        }
    })?;
    let mut good = true;
    let doors = CEILINGS.iter().filter(|c| wanted.door.as_ref().is_none_or(|d| d == c.door));
    for ceiling in doors {
        say(format_args!("--- {}", ceiling.door));
        match through(&tools, &guest, ceiling, wanted.requests) {
            Ok(within) => good &= within,
            Err(why) => {
                say(format_args!("FAILED {}: {why:#}", ceiling.door));
                good = false;
            }
        }
    }
    Ok(good)
}

/// Measures one door, writes its column, and says whether it stays below its ceilings.
fn through(tools: &Tools<'_>, guest: &Guest<'_>, ceiling: &Ceiling, requests: u32) -> Result<bool> {
    let repo = tools.repo;
    let floor = Measured::boot(tools, guest, ["floor", ceiling.door, "c"], requests)?;
    let vor = Measured::boot(tools, guest, ["vor", ceiling.door, "c"], requests)?;
    let made = format!("{}, {}, {}", guest.release, repo.date()?, repo.commit()?);

    let (spans, asked) = vor.fact("spans")?.split_once(' ').context("reading spans")?;
    let observed = vor.added("observed")? + vor.agent("observed", "with")?;
    let bystander = vor.added("bystander")?;
    let limits = (BEYLA_OBSERVED / ceiling.observed, BEYLA_BYSTANDER / ceiling.bystander);
    let column = format!("vor, {}", ceiling.door);
    let filled = |table: &mut Table| -> Result<()> {
        let base = vor.pair("observed", "base")?;
        table.set(rows::SERVER, "no agent", &kilo(base.server));
        table.set(rows::CLIENT, "no agent", &kilo(base.client));
        table.set(rows::PAIR, "no agent", &kilo(vor.pair("bystander", "base")?.both()));
        let with = vor.pair("observed", "with")?;
        for (row, value) in [
            (rows::SERVER, kilo(with.server)),
            (rows::CLIENT, kilo(with.client)),
            (rows::AGENT, kilo(vor.agent("observed", "with")?)),
            (rows::OBSERVED, kilo(observed)),
            (rows::OBSERVED_CEILING, kilo(limits.0)),
            (rows::PAIR, kilo(vor.pair("bystander", "with")?.both())),
            (rows::BYSTANDER, kilo(bystander)),
            (rows::BYSTANDER_FLOOR, kilo(floor.added("bystander")?)),
            (rows::BYSTANDER_CEILING, kilo(limits.1)),
            (rows::FRESH, kilo(vor.added("bystander-fresh")?)),
            (rows::READY, mega(vor.number("ready-instructions")?)),
            (rows::FIRST, vor.first_span()?),
            (rows::IDLE, kilo(vor.number("idle-per-second")?)),
            (rows::MEMORY, format!("{} MB", vor.number("peak-memory-kib")? / 1000)),
            (rows::SPANS, format!("{spans} / {asked}")),
            (rows::MADE, made),
        ] {
            table.set(row, &column, &value);
        }
        Ok(())
    };
    let mut result = Ok(());
    write(repo, "overhead", COLUMNS, |table| result = filled(table))?;
    result?;

    say(format_args!("observed +{}, ceiling {}", kilo(observed), kilo(limits.0)));
    say(format_args!("bystander +{}, ceiling {}", kilo(bystander), kilo(limits.1)));
    say(format_args!("{spans} spans of {asked} requests"));
    Ok(observed <= limits.0 && bystander <= limits.1 && spans == asked)
}

/// Instructions per request of the two ends.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) client: i64,
    pub(super) server: i64,
}

impl Pair {
    pub(super) fn both(self) -> i64 {
        self.client + self.server
    }
}

/// What one boot said: `cost WHAT WHEN CLIENT SERVER [VOR]` and `fact NAME VALUE`.
#[derive(Default)]
pub(super) struct Measured {
    costs: BTreeMap<String, Vec<i64>>,
    facts: BTreeMap<String, String>,
}

impl Measured {
    /// Runs `tests/vm/overhead/measure`, with the workload's own programs.
    pub(super) fn boot(
        tools: &Tools<'_>,
        guest: &Guest<'_>,
        [mode, door, workload]: [&str; 3],
        requests: u32,
    ) -> Result<Self> {
        let mut programs = vec![
            tools.path("load"),
            tools.repo.root.join("tests/vm/overhead/measure"),
            tools.repo.release("vor"),
        ];
        if workload == "go" {
            programs.push(tools.path("hello"));
        } else {
            let floor = tools.build_floor(door)?;
            programs.extend([tools.path("server"), floor, tools.path("attach")]);
        }
        let command = ["measure", mode, door, &requests.to_string(), workload].map(str::to_owned);
        let log = format!("overhead-{mode}-{door}-{workload}");
        let mut measured = Self::default();
        let code =
            guest.run(&log, BOOT_SECONDS, Clock::Instructions, &programs, &command, |line| {
                say(line);
                measured.line(line);
            })?;
        if let Some(why) = measured.facts.get("failed") {
            bail!("{why}");
        }
        if code != 0 {
            bail!("measuring {mode} ended with {code}");
        }
        Ok(measured)
    }

    pub(super) fn line(&mut self, line: &str) {
        if let Some((name, value)) = line.strip_prefix("fact ").and_then(|l| l.split_once(' ')) {
            self.facts.insert(name.to_owned(), value.to_owned());
        }
        let mut words = line.split_whitespace();
        if let (Some("cost"), Some(what), Some(when)) = (words.next(), words.next(), words.next()) {
            let figures = words.filter_map(|word| word.parse().ok()).collect();
            self.costs.insert(format!("{what} {when}"), figures);
        }
    }

    /// What each process paid per request, in the order in which they were said.
    pub(super) fn figures(&self, what: &str, when: &str) -> Result<&[i64]> {
        let cost = self.costs.get(&format!("{what} {when}"));
        cost.map(Vec::as_slice).with_context(|| format!("no cost of {what} {when}"))
    }

    pub(super) fn pair(&self, what: &str, when: &str) -> Result<Pair> {
        match self.figures(what, when)? {
            &[client, server, ..] => Ok(Pair { client, server }),
            figures => bail!("cost of {what} {when}: {figures:?}"),
        }
    }

    /// What both ends pay more, against the mean of before and after.
    fn added(&self, what: &str) -> Result<i64> {
        let base = self.pair(what, "base")?.both() + self.pair(what, "after")?.both();
        Ok(self.pair(what, "with")?.both() - base / 2)
    }

    pub(super) fn agent(&self, what: &str, when: &str) -> Result<i64> {
        let cost = self.figures(what, when)?;
        cost.get(2).copied().with_context(|| format!("no agent in {what} {when}"))
    }

    pub(super) fn fact(&self, name: &str) -> Result<&str> {
        self.facts.get(name).map(String::as_str).with_context(|| format!("no fact {name}"))
    }

    pub(super) fn number(&self, name: &str) -> Result<i64> {
        self.fact(name)?.parse().with_context(|| format!("reading {name}"))
    }

    /// Two readings of `/proc/uptime`, in seconds: then and from.
    fn first_span(&self) -> Result<String> {
        let (then, from) = self.fact("first-span-seconds")?.split_once(' ').context("one time")?;
        let seconds = then.parse::<f64>()? - from.parse::<f64>()?;
        Ok(format!("{seconds:.2}"))
    }
}

pub(super) fn kilo(figure: i64) -> String {
    scaled(figure, 1000, "k")
}

fn mega(figure: i64) -> String {
    scaled(figure, 1_000_000, "M")
}

/// One digit after the point, rounded.
fn scaled(figure: i64, unit: i64, name: &str) -> String {
    let tenths = (figure.abs() + unit / 20) / (unit / 10);
    let sign = if figure < 0 && tenths > 0 { "−" } else { "" };
    format!("{sign}{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_to_tenths() {
        assert_eq!(kilo(16_249), "16.2 k");
        assert_eq!(kilo(16_250), "16.3 k");
        assert_eq!(kilo(-1_290), "−1.3 k");
        assert_eq!(kilo(-20), "0.0 k");
        assert_eq!(mega(7_149_000_000), "7149.0 M");
    }

    #[test]
    fn the_cost_is_what_both_ends_pay_more_than_before_and_after() {
        let mut measured = Measured::default();
        measured.line("cost observed base 100 200");
        measured.line("cost observed with 150 260 40");
        measured.line("cost observed after 102 202");
        measured.line("fact first-span-seconds 12.50 12.25");
        assert_eq!(measured.added("observed").unwrap(), 108);
        assert_eq!(measured.agent("observed", "with").unwrap(), 40);
        assert_eq!(measured.first_span().unwrap(), "0.25");
        assert!(measured.added("bystander").is_err());
    }
}
