// SPDX-License-Identifier: Apache-2.0
//! vor: arguments, one command, exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use vor_config::ConfigError;
use vor_probe::ProbeError;
use vor_probe::flows::FlowError;

mod cli;
mod commands;
mod compat;
mod config;
mod log;
mod observe;
mod wire;

use cli::{Cli, Command};
use wire::{FlowsGoNowhere, NothingToObserve};

/// Exit code for wrong usage and wrong settings, the one clap uses too, and for a machine that does not allow it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::with_two_dashes(std::env::args_os()));
    let command = cli.command.unwrap_or(Command::Run(cli.settings));
    dispatch(command).unwrap_or_else(|error| explain(&error))
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    match command {
        Command::Run(settings) => commands::run::run(&settings)?,
        Command::Exec(args) => return commands::exec::exec(&args),
        Command::Check(args) => return commands::check::check(&args, &mut out),
        Command::Config(args) => commands::config::run(&args, &mut out)?,
        Command::KubeCache(settings) => commands::kube_cache::run(&settings)?,
        Command::Completions { shell } => commands::completions::completions(shell, &mut out)?,
        Command::Man => commands::completions::man(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Says what went wrong and what to do next; a reader that went away is not a failure.
fn explain(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    if let Some(wrong) = error.downcast_ref::<ConfigError>() {
        eprintln!("{}", next_step(wrong));
        return ExitCode::from(USAGE);
    }
    let unfit = error.is::<ProbeError>() || error.is::<FlowError>();
    if unfit || error.is::<NothingToObserve>() || error.is::<FlowsGoNowhere>() {
        return ExitCode::from(USAGE);
    }
    ExitCode::FAILURE
}

fn next_step(wrong: &ConfigError) -> &'static str {
    match wrong {
        ConfigError::Unreadable { .. } => {
            "check the path after --config or in VOR_CONFIG_PATH, and who may read the file"
        }
        ConfigError::Malformed { .. } => "correct that line; the file must be one YAML document",
        ConfigError::Settings(_) | ConfigError::Conflict(_) => {
            "`vor config --docs` says what each key takes, `vor config` shows what is in force"
        }
    }
}
