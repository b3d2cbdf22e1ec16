// SPDX-License-Identifier: Apache-2.0
//! `bench go`: what observing Go programs costs. Instructions per request of a server and of one that asks another, by
//! HTTP and by HTTPS (`tests/vm/overhead/hello.go`), counted in a virtual machine; and how long probes take to come
//! into a large program, on this machine.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{
    Tools, large,
    overhead::{Measured, kilo},
    write,
};
use crate::{
    exec::{self, say},
    golang::Toolchain,
    repo::Repo,
    vm::{self, guest::Guest},
};

/// The kernel and the version of Go whose figures we compare.
const KERNEL: &str = "6.12";
const GO: &str = "1.24.11";
const DOOR: &str = "fentry";

const BEYLA: &str = "Beyla 2.1";
const COLUMNS: &[&str] = &["", "no agent", BEYLA];

/// The rows in their order, with what Beyla 2.1 has there (context propagation off).
const ROWS: &[(&str, &str)] = &[
    (rows::HELLO, "115.0 k"),
    (rows::FRONT, "267.5 k"),
    (rows::BACK, "133.0 k"),
    (rows::SECURE_FRONT, ""),
    (rows::SECURE_BACK, ""),
    (rows::AGENT_HELLO, "85.5 k"),
    (rows::AGENT_PROXY, "268.5 k"),
    (rows::AGENT_SECURE, ""),
    (rows::ADDED_HELLO, "138.5 k"),
    (rows::ADDED_PROXY, "431.0 k"),
    (rows::ADDED_SECURE, ""),
    (rows::SPANS, "11500 / 11500"),
    (rows::MADE, "6.12.117, 2026-11-23"),
];

mod rows {
    pub(super) const HELLO: &str = "hello server";
    pub(super) const FRONT: &str = "server that asks another, per request";
    pub(super) const BACK: &str = "… the other";
    pub(super) const SECURE_FRONT: &str = "server that asks another by HTTPS, per request";
    pub(super) const SECURE_BACK: &str = "… the other, by HTTPS";
    pub(super) const AGENT_HELLO: &str = "the agent itself, per hello";
    pub(super) const AGENT_PROXY: &str = "the agent itself, per request that is passed on";
    pub(super) const AGENT_SECURE: &str =
        "the agent itself, per request that is passed on by HTTPS";
    pub(super) const ADDED_HELLO: &str = "**added per hello, all together**";
    pub(super) const ADDED_PROXY: &str = "**added per request that is passed on, all together**";
    pub(super) const ADDED_SECURE: &str =
        "**added per request that is passed on by HTTPS, all together**";
    pub(super) const SPANS: &str = "spans / requests and calls";
    pub(super) const MADE: &str = "kernel, door, date, commit";
}

#[derive(Args)]
pub(crate) struct Go {
    /// Requests per workload
    #[arg(long, default_value_t = 2000)]
    requests: u32,
    /// The door that vor takes
    #[arg(long, default_value = DOOR)]
    door: String,
    /// Only the time that probes take to come into a large program
    #[arg(long)]
    attach: bool,
}

pub(crate) fn run(repo: &Repo, wanted: &Go) -> Result<bool> {
    let go = Toolchain::release(repo, GO)?;
    let within = large::run(repo, &go)?;
    if wanted.attach {
        return Ok(within);
    }
    let tools = Tools::build(repo)?;
    let source = repo.root.join("tests/vm/overhead/hello.go");
    exec::run(
        go.command(&tools.folder)
            .args(["build", "-o"])
            .arg(tools.path("hello"))
            .arg(source)
            .env("GOFLAGS", ""),
    )?;
    let kernel = vm::matrix(repo, Some(KERNEL))?.pop().context("no kernel")?;
    let guest = Guest::new(repo, &kernel)?;
    write(repo, "go", COLUMNS, |table| {
        for &(row, value) in ROWS {
            table.set(row, BEYLA, value);
        }
    })?;
    let mut all = true;
    for (mode, column) in [("outside", "vor, sockets only"), ("vor", "vor")] {
        all &= measure(&tools, &guest, [mode, column], wanted)?;
    }
    Ok(all && within)
}

/// The workloads: what each is called in the guest, the rows of its servers, of the agent, and of all together.
const WORKLOADS: &[(&str, &[&str], &str, &str)] = &[
    ("hello", &[rows::HELLO], rows::AGENT_HELLO, rows::ADDED_HELLO),
    ("proxy", &[rows::FRONT, rows::BACK], rows::AGENT_PROXY, rows::ADDED_PROXY),
    ("https", &[rows::SECURE_FRONT, rows::SECURE_BACK], rows::AGENT_SECURE, rows::ADDED_SECURE),
];

/// Measures one way of observing, writes its column, and says whether every span came.
fn measure(
    tools: &Tools<'_>,
    guest: &Guest<'_>,
    [mode, column]: [&str; 2],
    wanted: &Go,
) -> Result<bool> {
    let repo = tools.repo;
    let run = Measured::boot(tools, guest, [mode, &wanted.door, "go"], wanted.requests)?;
    let stamp = format!("{}, {}, {}, {}", guest.release, wanted.door, repo.date()?, repo.commit()?);
    let (spans, asked) = run.fact("spans")?.split_once(' ').context("reading spans")?;
    let mut cells =
        vec![(rows::SPANS, column, format!("{spans} / {asked}")), (rows::MADE, column, stamp)];
    for &(workload, servers, agent, all) in WORKLOADS {
        // Each list begins with the client, which nobody observes; the agent comes last.
        let with = run.figures(workload, "with")?;
        let (before, after) = (run.figures(workload, "base")?, run.figures(workload, "after")?);
        let base: Vec<i64> = before.iter().zip(after).map(|(b, a)| i64::midpoint(*b, *a)).collect();
        let ([_, bases @ ..], [_, figures @ .., own]) = (base.as_slice(), with) else {
            bail!("figures of {workload}: {with:?}");
        };
        for ((row, base), figure) in servers.iter().zip(bases).zip(figures) {
            cells.push((row, "no agent", kilo(*base)));
            cells.push((row, column, kilo(*figure)));
        }
        let added = with.iter().sum::<i64>() - base.iter().sum::<i64>();
        cells.push((agent, column, kilo(*own)));
        cells.push((all, column, kilo(added)));
        say(format_args!("{column}: {workload} +{}", kilo(added)));
    }
    write(repo, "go", COLUMNS, |table| {
        for (row, column, value) in &cells {
            table.set(row, column, value);
        }
    })?;
    Ok(spans == asked)
}
