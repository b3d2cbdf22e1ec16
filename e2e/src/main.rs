// SPDX-License-Identifier: Apache-2.0
//! `vor-e2e`: builds the programs, runs the scenarios, one line each.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use vor_e2e::apps::Apps;
use vor_e2e::scenario::{Door, Outcome, Scenario};
use vor_e2e::scene::{Scene, World};
use vor_e2e::truth;

/// How much slower an emulated machine is.
const EMULATED: u32 = 8;

/// Runs real programs under vor and checks what comes out.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds the programs to observe, for a machine that has no compilers.
    Build {
        /// Where they go.
        #[arg(long)]
        into: PathBuf,
    },
    /// Runs scenarios.
    Run(RunArgs),
    /// Scores how truly calls are linked to the requests that caused them.
    Truth(TruthArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The vor to test.
    #[arg(long, required_unless_present = "list")]
    vor: Option<PathBuf>,
    /// The door that vor is told to take; without it, vor chooses.
    #[arg(long)]
    door: Option<Door>,
    /// Only the smoke suite, for emulated machines.
    #[arg(long)]
    smoke: bool,
    /// Only scenarios whose name begins with this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Prints the names and ends.
    #[arg(long)]
    list: bool,
    /// Programs built before; without it they are built now, into a temporary folder.
    #[arg(long)]
    apps: Option<PathBuf>,
    /// Runs the cells of Go programs that are in this folder, built by `cargo xtask go-matrix`, and nothing else.
    #[arg(long)]
    go_programs: Option<PathBuf>,
    /// By how much all time limits are stretched: 1, or 8 with --smoke.
    #[arg(long)]
    patience: Option<u32>,
    /// A scenario that is skipped because something is not installed here counts as failed.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct TruthArgs {
    /// The vor to score.
    #[arg(long)]
    vor: PathBuf,
    /// Programs built before.
    #[arg(long)]
    apps: PathBuf,
    /// The door that vor is told to take; without it, vor chooses.
    #[arg(long)]
    door: Option<Door>,
    /// Only patterns whose name begins with this; may be given several times.
    #[arg(long)]
    pattern: Vec<String>,
    /// So many clients at once; may be given several times.
    #[arg(long, default_values_t = [1, 8, 64])]
    clients: Vec<usize>,
    /// Cases of a cell; without it, 120 and 4 more for each client.
    #[arg(long)]
    cases: Option<usize>,
    /// By how much all time limits are stretched.
    #[arg(long, default_value_t = 1)]
    patience: u32,
    /// A file to which each cell's result is added, one line of JSON each.
    #[arg(long)]
    results: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut out = io::stdout();
    let result = match Cli::parse().command {
        Command::Build { into } => Apps::build(&into).map(|_| true),
        Command::Run(args) => run(&args, &mut out),
        Command::Truth(args) => truth(&args, &mut out),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing failed.
fn run(args: &RunArgs, out: &mut impl Write) -> Result<bool> {
    let mut chosen = match &args.go_programs {
        Some(dir) => vor_e2e::matrix::cells(dir)?,
        None => vor_e2e::all(),
    };
    chosen.retain(|scenario| wanted(scenario, args));
    ensure!(!chosen.is_empty(), "no scenario has such a name, see --list");
    if args.list {
        for scenario in &chosen {
            writeln!(out, "{}", scenario.name)?;
        }
        return Ok(true);
    }
    let vor = args.vor.as_ref().context("--vor is missing")?;
    let vor = vor.canonicalize().with_context(|| format!("opening {}", vor.display()))?;
    let built = tempfile::tempdir()?;
    let apps = match &args.apps {
        Some(dir) => Apps::at(dir)?,
        None => Apps::build(built.path())?,
    };
    let patience = args.patience.unwrap_or(if args.smoke { EMULATED } else { 1 });
    let world = World { vor, door: args.door, apps, patience };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in &chosen {
        let name = &scenario.name;
        match scenario.run(&world) {
            Outcome::Passed(time) => {
                passed += 1;
                writeln!(out, "ok {name} ({:.1} s)", time.as_secs_f64())?;
            }
            Outcome::Failed(error) => {
                failed += 1;
                let why: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
                writeln!(out, "FAILED {name}: {}\n{error}---", why.join(": "))?;
            }
            Outcome::Skipped(why) if args.strict => {
                failed += 1;
                writeln!(out, "FAILED {name}: {why}")?;
            }
            Outcome::Skipped(why) | Outcome::Invisible(why) => {
                skipped += 1;
                writeln!(out, "skipped {name}: {why}")?;
            }
        }
        out.flush()?;
    }
    writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
    Ok(failed == 0)
}

/// Whether every cell could be scored.
fn truth(args: &TruthArgs, out: &mut impl Write) -> Result<bool> {
    let vor = args.vor.canonicalize().with_context(|| format!("opening {}", args.vor.display()))?;
    let apps = Apps::at(&args.apps)?;
    let world = World { vor, door: args.door, apps, patience: args.patience };
    let named = |start: &String, name: &str| name.starts_with(start.as_str());
    let wanted =
        |name: &str| args.pattern.is_empty() || args.pattern.iter().any(|start| named(start, name));
    let mut scored = true;
    for pattern in truth::ALL.iter().filter(|pattern| wanted(pattern.name)) {
        if let Some(missing) = pattern.missing(&world.apps) {
            writeln!(out, "skipped {}: no {missing}", pattern.name)?;
            continue;
        }
        for clients in &args.clients {
            let cases = args.cases.unwrap_or(120 + 4 * clients);
            let mut scene = Scene::new(&world)?;
            match truth::cell(&mut scene, pattern, *clients, cases) {
                Ok(score) => {
                    let methods = &score.methods;
                    writeln!(out, "{} {clients}: {} {methods:?}", pattern.name, score.shares())?;
                    if let Some(file) = &args.results {
                        let mut file = File::options().append(true).create(true).open(file)?;
                        writeln!(file, "{}", score.json(pattern.name, *clients))?;
                    }
                }
                Err(error) => {
                    scored = false;
                    writeln!(
                        out,
                        "FAILED {} {clients}: {error:#}\n{}",
                        pattern.name,
                        scene.story()
                    )?;
                }
            }
            out.flush()?;
        }
    }
    Ok(scored)
}

fn wanted(scenario: &Scenario, args: &RunArgs) -> bool {
    let named = |start: &String| scenario.name.starts_with(start.as_str());
    (args.only.is_empty() || args.only.iter().any(named)) && (!args.smoke || scenario.is_smoke())
}
