// SPDX-License-Identifier: Apache-2.0
//! The command line: what can be written, and which setting each flag sets.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vor_config::Flag;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("VOR_TARGET"), ")");

const EXAMPLES: &str = "\
Examples:
  vor config                          the settings in force, each with its origin
  vor config --open-port 80,8000-8999
                                      the same with a flag
  BEYLA_OPEN_PORT=8080 vor config     the same with a variable
  vor config --docs | less            every key: what it does, its default, its variables
  vor config > vor.yml                a file to start from

Exit codes: 0 done, 1 failed, 2 wrong usage or settings.";

/// See what unmodified programs do: their requests as spans and metrics.
#[derive(Debug, Parser)]
#[command(name = "vor", version = VERSION, after_long_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What vor can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the settings in force, or the reference of all keys.
    ///
    /// The output is YAML and works as a settings file. The comment on each line says where its value
    /// comes from: default, file and line, variable or flag. Secrets are left out.
    Config(ConfigArgs),
    /// Print the completions for a shell.
    ///
    /// For bash: `vor completions bash > /etc/bash_completion.d/vor`
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    ///
    /// To read it: `vor man | man -l -`
    Man,
}

/// Arguments of `vor config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print the reference of all keys as Markdown instead.
    #[arg(long)]
    pub docs: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Flags that choose or override settings; they are stronger than variables and the file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// Settings file, YAML; a file written for Beyla or OBI works as it is.
    ///
    /// Without the flag, the file is the one that `VOR_CONFIG_PATH`, `OTEL_EBPF_CONFIG_PATH` or `BEYLA_CONFIG_PATH`
    /// names, in this order. (In Beyla the variable is stronger than the flag.)
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Observe the programs that listen on these ports, such as 80,443,8000-8999.
    #[arg(long, short = 'p', value_name = "PORTS")]
    pub open_port: Option<String>,
    /// How much to log: error, warn, info, debug, trace or off.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl SettingsArgs {
    /// The flags that were given, as the strongest layer of the settings.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let given = [
            ("--open-port", "open_port", &self.open_port),
            ("--log-level", "log_level", &self.log_level),
        ];
        let flag = |(name, path, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { name, path, value })
        };
        given.into_iter().filter_map(flag).collect()
    }
}
