// SPDX-License-Identifier: Apache-2.0
//! The command line: what can be written, and which setting each flag sets.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use vor_config::Flag;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("VOR_TARGET"), ")");

const EXAMPLES: &str = "\
Examples:
  vor exec -- curl http://example.org/  run a program and see what it says
  vor --open-port 8080                  see every request to the program on port 8080
  vor -p 80,8000-8999 --print json      the same for many ports, one JSON object per line
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 vor -p 8080
                                        send traces and metrics to a collector
  vor check                             what this machine allows, and what is missing
  vor config                            the settings in force, each with its origin
  vor config --docs | less              every key: what it does, its default, its variables

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, or a machine on which vor cannot work.";

/// The arguments with `-config`, as other agents spell it, written `--config`. Those of `vor exec` are left as
/// they are: the program may have a `-config` of its own.
pub(crate) fn with_two_dashes(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let args: Vec<_> = args.collect();
    if args.get(1).is_some_and(|command| command == "exec") {
        return args;
    }
    let spell = |arg: OsString| match arg.to_str() {
        Some(text) if text == "-config" || text.starts_with("-config=") => {
            format!("-{text}").into()
        }
        Some(_) | None => arg,
    };
    args.into_iter().map(spell).collect()
}

/// See what unmodified programs say to each other: their requests as spans and metrics.
#[derive(Debug, Parser)]
#[command(name = "vor", version = VERSION, after_long_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// What vor can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Observe programs until it is stopped (Ctrl-C, SIGTERM).
    ///
    /// Which programs: `--open-port`, `--executable`, or the settings under `discovery`. What was seen is
    /// printed unless settings send it elsewhere.
    Run(SettingsArgs),
    /// Run a program and observe it and everything it starts, from its first instruction.
    ///
    /// Spans go to standard error. Signals are passed on to the program, and its exit code is vor's: that of a
    /// program that a signal ends is 128 more than the signal.
    Exec(ExecArgs),
    /// Say what this kernel and these privileges allow, and what is missing.
    ///
    /// Exit code 0: vor can observe programs here; 2: it cannot.
    Check(CheckArgs),
    /// Print the settings in force, or the reference of all keys.
    ///
    /// The output is YAML and works as a settings file. The comment on each line says where its value
    /// comes from: default, file and line, variable or flag. Secrets are left out.
    Config(ConfigArgs),
    /// Watch a Kubernetes cluster for many agents, so that each need not.
    ///
    /// Agents follow it when `attributes.kubernetes.meta_cache_address` (`VOR_KUBE_META_CACHE_ADDRESS`) names it. Its own
    /// settings are under `kube_cache`; how it reaches the API server is set as for agents.
    KubeCache(SettingsArgs),
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

/// Arguments of `vor exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// The program and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub command: Vec<OsString>,
    /// Wait to be let go, then become the program: how vor starts it.
    #[arg(long, hide = true)]
    pub held: bool,
}

/// Arguments of `vor check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
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
    /// Observe the programs whose path matches this regular expression.
    #[arg(long, short = 'e', value_name = "REGEXP")]
    pub executable: Option<String>,
    /// How to print spans: text, json, `json_indent`, tree, counter or disabled.
    #[arg(long, value_name = "FORMAT")]
    pub print: Option<String>,
    /// Print whole traces, each span below its parent: short for --print tree.
    #[arg(long, conflicts_with = "print")]
    pub tree: bool,
    /// How to see what programs say: auto, fentry, kprobe or syscall.
    #[arg(long, value_name = "DOOR")]
    pub door: Option<String>,
    /// How much to log: error, warn, info, debug, trace or off.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl SettingsArgs {
    /// The flags that were given, as the strongest layer of the settings.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let tree = self.tree.then(|| "tree".to_owned());
        let given = [
            ("--open-port", "open_port", &self.open_port),
            ("--executable", "executable_name", &self.executable),
            ("--print", "trace_printer", &self.print),
            ("--tree", "trace_printer", &tree),
            ("--door", "ebpf.door", &self.door),
            ("--log-level", "log_level", &self.log_level),
        ];
        let flag = |(name, path, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { name, path, value })
        };
        given.into_iter().filter_map(flag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        let args = line.split(' ').map(OsString::from);
        Cli::try_parse_from(with_two_dashes(args)).unwrap()
    }

    #[test]
    fn config_may_be_written_with_one_dash() {
        for line in ["vor -config a.yml", "vor -config=a.yml", "vor --config a.yml", "vor -c a.yml"]
        {
            assert_eq!(parsed(line).settings.config, Some(PathBuf::from("a.yml")), "{line}");
        }
    }

    #[test]
    fn what_belongs_to_the_program_stays_as_it_is() {
        for line in ["vor exec -- prog -config b.yml", "vor exec prog -config b.yml"] {
            let Some(Command::Exec(args)) = parsed(line).command else { panic!("it is exec") };
            assert_eq!(args.settings.config, None, "{line}");
            assert_eq!(args.command, ["prog", "-config", "b.yml"], "{line}");
        }
    }
}
