// SPDX-License-Identifier: Apache-2.0
//! The project's chores: `cargo xtask help`.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, builder::BoolishValueParser};

mod bench;
mod chart;
mod ci;
mod e2e;
mod exec;
mod golang;
mod kube_apiserver;
mod page;
mod repo;
mod results;
mod tally;
mod tidy;
mod vm;

use repo::Repo;

#[derive(Parser)]
#[command(name = "xtask", about = "Chores of the project")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, tidy, lints, and the tests that need no root
    Check,
    /// Everything: check, root tests, end to end natively, smoke suite in virtual machines
    Ci(Strict),
    /// Format all Rust and C
    Fmt,
    /// What a compiler does not check: layers, names, sizes, headers
    Tidy,
    /// End-to-end scenarios on this machine
    E2e {
        /// Arguments of `vor-e2e run`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// The Helm chart: lint, render, validate; writes deploy/kubernetes
    Chart,
    /// The tests of the Kubernetes protocol against the real API server, built on demand
    KubeApiserver,
    /// A command, or the smoke suite, on another kernel
    Vm(vm::VmArgs),
    /// Go programs of many versions under vor: builds them, runs their cases
    GoMatrix(golang::matrix::MatrixArgs),
    /// Where fields are in Go libraries, version by version: makes crates/exe/src/go/offsets.txt
    GoOffsets(golang::offsets::OffsetsArgs),
    /// Measurements, written into docs/performance.md
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
}

#[derive(Args)]
struct Strict {
    /// A skip for want of root or BPF is a failure
    #[arg(long, env = "CI", value_parser = BoolishValueParser::new())]
    strict: bool,
}

fn main() -> ExitCode {
    match Repo::find().and_then(|repo| dispatch(Cli::parse().command, &repo)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if what was checked is as it should be.
fn dispatch(command: Command, repo: &Repo) -> anyhow::Result<bool> {
    match command {
        Command::Check => Ok(ci::check(repo)),
        Command::Ci(Strict { strict: true }) => Ok(ci::all(repo, tally::Skips::Fail)),
        Command::Ci(Strict { strict: false }) => Ok(ci::all(repo, tally::Skips::Count)),
        Command::Fmt => ci::format(repo).map(|()| true),
        Command::Tidy => tidy::run(repo),
        Command::E2e { args } => e2e::run(repo, &args),
        Command::Chart => chart::run(repo),
        Command::KubeApiserver => kube_apiserver::run(repo),
        Command::Vm(args) => vm::run(repo, &args),
        Command::GoMatrix(args) => golang::matrix::run(repo, &args),
        Command::GoOffsets(args) => golang::offsets::run(repo, &args),
        Command::Bench { what } => bench::run(repo, &what),
    }
}
