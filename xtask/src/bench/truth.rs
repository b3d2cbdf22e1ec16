// SPDX-License-Identifier: Apache-2.0
//! `bench truth`: are calls linked to the requests that caused them? Natively, needs root; into docs/truth.md.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use crate::{
    e2e, exec,
    exec::say,
    page::{self, Table},
    repo::Repo,
};

const PAGE: &str = "docs/truth.md";
const PART: &str = "truth";

#[derive(Args)]
pub(crate) struct Truth {
    /// Only patterns whose name begins with this; may be given several times
    #[arg(long)]
    pattern: Vec<String>,
    /// So many clients at once; may be given several times
    #[arg(long, default_values_t = [1, 8, 64])]
    clients: Vec<usize>,
    /// Cases of each cell
    #[arg(long)]
    cases: Option<usize>,
    /// The door that vor is told to take
    #[arg(long, default_value = "syscall")]
    door: String,
}

/// A line of results.
#[derive(Deserialize)]
struct Cell {
    pattern: String,
    clients: usize,
    shares: String,
    wrong: usize,
    cases: usize,
}

/// True if every cell could be scored and no more than one link in a thousand is wrong.
pub(crate) fn run(repo: &Repo, wanted: &Truth) -> Result<bool> {
    e2e::build(repo)?;
    let results = repo.scratch().join("truth.jsonl");
    if results.exists() {
        fs::remove_file(&results)?;
    }
    let mut runner = runner(repo, wanted);
    runner.arg("--results").arg(&results);
    let status = exec::lines(&mut runner, |line| say(line))?;
    let text = fs::read_to_string(&results).context("no cell was scored")?;
    let cells: Vec<Cell> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("reading results")?;
    write(repo, &cells)?;
    say(format_args!("results: {}", results.display()));
    Ok(status.success() && cells.iter().all(|cell| cell.wrong * 1000 <= cell.cases))
}

fn runner(repo: &Repo, wanted: &Truth) -> Command {
    let mut runner = repo.program(&repo.release("vor-e2e").to_string_lossy());
    runner.arg("truth").arg("--vor").arg(repo.release("vor"));
    runner.arg("--apps").arg(e2e::apps(repo)).arg("--door").arg(&wanted.door);
    for pattern in &wanted.pattern {
        runner.args(["--pattern", pattern]);
    }
    for clients in &wanted.clients {
        runner.args(["--clients", &clients.to_string()]);
    }
    if let Some(cases) = wanted.cases {
        runner.args(["--cases", &cases.to_string()]);
    }
    runner
}

/// Cells that this run did not score stay as they are.
fn write(repo: &Repo, cells: &[Cell]) -> Result<()> {
    let path = repo.root.join(PAGE);
    let mut table = Table::parse(&page::read(&path, PART)?).or(&["pattern"]);
    for cell in cells {
        let column = match cell.clients {
            1 => "1 client".to_owned(),
            clients => format!("{clients} clients"),
        };
        table.set(&cell.pattern, &column, &cell.shares);
    }
    page::write(&path, PART, &table.render())
}
