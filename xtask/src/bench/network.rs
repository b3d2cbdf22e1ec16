// SPDX-License-Identifier: Apache-2.0
//! `bench network`: instructions per packet with each source of flows, beside an empty program in its place.
//!
//! One boot per source, with a clock that counts instructions; `tests/vm/network/measure` runs there.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::write;
use crate::{
    exec,
    exec::say,
    repo::Repo,
    vm::{
        self,
        guest::{Clock, Guest},
    },
};

/// The kernel whose figures we compare.
const KERNEL: &str = "6.12";
const BOOT_SECONDS: u32 = 900;
const SOURCES: [&str; 2] = ["socket_filter", "tc"];
const MADE: &str = "kernel, date, commit";

#[derive(Args)]
pub(crate) struct Network {
    /// Packets per workload
    #[arg(long, default_value_t = 100_000)]
    packets: u32,
    /// Flows of the workload that has many
    #[arg(long, default_value_t = 10_000)]
    flows: u32,
}

pub(crate) fn run(repo: &Repo, wanted: &Network) -> Result<bool> {
    let programs = programs(repo)?;
    let kernel = vm::matrix(repo, Some(KERNEL))?.pop().context("no kernel")?;
    let guest = Guest::new(repo, &kernel)?;
    for source in SOURCES {
        say(format_args!("--- {source}"));
        let said = boot(&guest, &programs, source, wanted)?;
        let made = format!("{}, {}, {}", guest.release, repo.date()?, repo.commit()?);
        let rows = rows(&said, wanted.flows)?;
        write(repo, "network", &["", "socket_filter", "tc"], |table| {
            for (row, value) in &rows {
                table.set(row, source, value);
            }
            table.set(MADE, source, &made);
        })?;
    }
    Ok(true)
}

/// The programs of tests/vm/network, compiled, and vor.
fn programs(repo: &Repo) -> Result<Vec<PathBuf>> {
    let (from, to) = (repo.root.join("tests/vm/network"), repo.scratch().join("network"));
    fs::create_dir_all(&to)?;
    let compile = |compiler: &str, flags: &[&str], source: &str, object: &str| {
        let mut command = repo.program(compiler);
        let object = to.join(object);
        command.args(["-O2", "-o"]).arg(&object).arg(from.join(source)).args(flags);
        exec::run(&mut command).with_context(|| format!("compiling {source}"))?;
        Ok::<_, anyhow::Error>(object)
    };
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    Ok(vec![
        compile("gcc", &["-static"], "packets.c", "packets")?,
        compile("gcc", &["-lbpf"], "empty.c", "empty")?,
        compile("clang-19", &["-target", "bpf", "-g", "-c", &include], "empty.bpf.c", "empty.o")?,
        from.join("measure"),
        repo.release("vor"),
    ])
}

/// What one boot said: `cost WHAT WITH INSTRUCTIONS VOR` and `fact NAME VALUE`.
type Said = BTreeMap<String, Vec<i64>>;

fn boot(guest: &Guest<'_>, programs: &[PathBuf], source: &str, wanted: &Network) -> Result<Said> {
    let (packets, flows) = (wanted.packets.to_string(), wanted.flows.to_string());
    let command = ["measure", source, &packets, &flows].map(str::to_owned);
    let (mut said, mut failed) = (Said::new(), None);
    let log = format!("network-{source}");
    let code = guest.run(&log, BOOT_SECONDS, Clock::Instructions, programs, &command, |line| {
        say(line);
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["fact", "failed", ..] => failed = Some(line.to_owned()),
            ["fact", name, value] => {
                said.insert((*name).to_owned(), value.parse().into_iter().collect());
            }
            ["cost", what, with, figures @ ..] => {
                let figures = figures.iter().filter_map(|figure| figure.parse().ok()).collect();
                said.insert(format!("{what} {with}"), figures);
            }
            _ => {}
        }
    })?;
    if let Some(why) = failed {
        bail!("{why}");
    }
    if code != 0 {
        bail!("measuring {source} ended with {code}");
    }
    Ok(said)
}

fn rows(said: &Said, flows: u32) -> Result<Vec<(String, String)>> {
    let figure = |what: &str, at: usize| {
        let figures = said.get(what).with_context(|| format!("no {what}"))?;
        figures.get(at).copied().with_context(|| format!("{what} is cut"))
    };
    // Against the mean of before and after.
    let added = |what: &str, with: &str| {
        let base = figure(&format!("{what} base"), 0)? + figure(&format!("{what} after"), 0)?;
        Ok::<_, anyhow::Error>(figure(&format!("{what} {with}"), 0)? - base / 2)
    };
    let count = |n: i64| format!("{n}");
    let many = format!("{flows} flows by turns");
    Ok(vec![
        ("a packet that is sent, nobody watches".to_owned(), count(figure("one base", 0)?)),
        ("**added by an empty program**".to_owned(), count(added("one", "empty")?)),
        ("**added by vor, one flow**".to_owned(), count(added("one", "vor")?)),
        ("… of that in vor itself".to_owned(), count(figure("one vor", 1)?)),
        (format!("**added by vor, {many}**"), count(added("many", "vor")?)),
        ("… of that in vor itself, too".to_owned(), count(figure("many vor", 1)?)),
        ("peak resident memory".to_owned(), format!("{} MB", figure("peak-memory-kib", 0)? / 1000)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_held_against_before_and_after() {
        let cost = |line: &str, figures: [i64; 2]| (line.to_owned(), figures.to_vec());
        let said = Said::from([
            cost("one base", [100, 0]),
            cost("one after", [104, 0]),
            cost("one empty", [112, 0]),
            cost("one vor", [152, 7]),
            cost("many base", [100, 0]),
            cost("many after", [100, 0]),
            cost("many vor", [180, 9]),
            cost("peak-memory-kib", [20_000, 0]),
        ]);
        let rows = rows(&said, 5).unwrap();
        let values: Vec<_> = rows.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["100", "10", "50", "7", "80", "9", "20 MB"]);
    }
}
