// SPDX-License-Identifier: Apache-2.0
//! Other kernels: a command, or the smoke suite through each door, in a virtual machine.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::{
    e2e,
    exec::{self, say},
    golang::matrix as go,
    repo::Repo,
    results::Run,
    tally::{Skips, Tally},
};

pub(crate) mod guest;
pub(crate) mod kernel;

use guest::{Clock, Guest};

/// Software emulation of the whole smoke suite takes some seven minutes where nothing else runs; this is a hang.
const SUITE_SECONDS: u32 = 1200;

/// What the kinds of interfaces and sockets that tests use are in. What a kernel does not have, a test says.
const MODULES: &str = "tun sctp wireguard vxlan geneve ip_gre ipip 8021q bridge veth dummy";

/// A command given by hand may take longer, but not for ever.
const COMMAND_SECONDS: u32 = 3600;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct VmArgs {
    #[command(subcommand)]
    suite: Option<Suite>,
    /// Only this kernel of tests/vm/kernels.toml
    #[arg(long)]
    kernel: Option<String>,
    /// Let the guest's clock count instructions; one processor
    #[arg(long)]
    count: bool,
    /// What to run there
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Subcommand)]
enum Suite {
    /// The end-to-end smoke scenarios through each door
    Smoke {
        /// Only this kernel of tests/vm/kernels.toml
        #[arg(long)]
        kernel: Option<String>,
    },
    /// Tests of crates/probe that need root, with the kinds of interfaces that a distribution's kernel has
    Root {
        /// Only this kernel of tests/vm/kernels.toml
        #[arg(long)]
        kernel: Option<String>,
        /// A file of crates/probe/tests, without its ending; may be given several times
        #[arg(long, required = true)]
        test: Vec<String>,
    },
}

/// One kernel of the matrix.
#[derive(Deserialize)]
pub(crate) struct Kernel {
    /// Its short name, as in `--kernel`.
    pub name: String,
    /// Its package's name up to and from the part that is the newest version.
    pub prefix: String,
    pub suffix: String,
    /// The ways in that it offers and the suite goes through.
    pub doors: Vec<String>,
    /// The one of them through which some Go programs are observed, too.
    pub go: Option<String>,
}

pub(crate) fn run(repo: &Repo, args: &VmArgs) -> Result<bool> {
    if let Some(Suite::Smoke { kernel }) = &args.suite {
        e2e::build(repo)?;
        let mut tally = Tally::default();
        smoke(repo, kernel.as_deref(), &mut tally)?;
        return Ok(tally.close(Skips::Count));
    }
    if let Some(Suite::Root { kernel, test }) = &args.suite {
        return root(repo, kernel.as_deref(), test);
    }
    let clock = if args.count { Clock::Instructions } else { Clock::Wall };
    let mut good = true;
    for kernel in matrix(repo, args.kernel.as_deref())? {
        let guest = Guest::new(repo, &kernel)?;
        let code = guest.run("command", COMMAND_SECONDS, clock, &[], &args.command, |line| {
            say(line);
        })?;
        good &= code == 0;
    }
    Ok(good)
}

/// Runs each of `tests` on each kernel; true if all pass.
fn root(repo: &Repo, only: Option<&str>, tests: &[String]) -> Result<bool> {
    let programs = tests.iter().map(|test| built(repo, test)).collect::<Result<Vec<_>>>()?;
    let mut good = true;
    for kernel in matrix(repo, only)? {
        let guest = Guest::new(repo, &kernel)?;
        for (test, program) in tests.iter().zip(&programs) {
            let folder = repo.root.join("crates/probe");
            let script = format!(
                "modprobe -qa {MODULES}; cd {} && {} --ignored root_ --test-threads=1",
                folder.display(),
                program.display(),
            );
            let command = ["sh", "-c", &script].map(str::to_owned);
            let code = guest.run(test, COMMAND_SECONDS, Clock::Wall, &[], &command, |line| {
                say(format_args!("{} {test}: {line}", kernel.name));
            })?;
            good &= code == 0;
        }
    }
    Ok(good)
}

/// The program of a file of crates/probe/tests.
fn built(repo: &Repo, test: &str) -> Result<PathBuf> {
    /// What cargo says of each thing it has made.
    #[derive(Deserialize)]
    struct Made {
        executable: Option<PathBuf>,
    }
    let mut cargo = repo.program("cargo");
    cargo.args(["test", "--package", "vor-probe", "--no-run", "--message-format", "json"]);
    let said = exec::text(cargo.args(["--test", test]))?;
    let made = said.lines().filter_map(|line| serde_json::from_str::<Made>(line).ok());
    made.filter_map(|made| made.executable)
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(test)))
        .with_context(|| format!("cargo has built no test {test}"))
}

/// The kernels listed, or the one that was asked for.
pub(crate) fn matrix(repo: &Repo, only: Option<&str>) -> Result<Vec<Kernel>> {
    #[derive(Deserialize)]
    struct Matrix {
        kernel: Vec<Kernel>,
    }
    let path = repo.root.join("tests/vm/kernels.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let matrix: Matrix =
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    let kernels: Vec<_> = matrix
        .kernel
        .into_iter()
        .filter(|kernel| only.is_none_or(|only| kernel.name == only))
        .collect();
    if kernels.is_empty() {
        bail!("no such kernel in {}", path.display());
    }
    Ok(kernels)
}

/// Runs the smoke suite on each kernel through each door and writes the columns of docs/testing.md.
/// The kernels run side by side: an emulated machine keeps about one processor busy.
pub(crate) fn smoke(repo: &Repo, only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let programs = go::abroad(repo);
    if let Err(why) = &programs {
        tally.skip("Go programs in virtual machines", format!("{why:#}"));
    }
    let programs = programs.ok();
    let mut ready = Vec::new();
    for kernel in matrix(repo, only)? {
        match Guest::new(repo, &kernel) {
            Ok(guest) => ready.push((kernel, guest)),
            Err(why) => tally.skip(format!("kernel {}", kernel.name), format!("{why:#}")),
        }
    }
    let ended = thread::scope(|scope| {
        let started: Vec<_> = ready
            .iter()
            .map(|(kernel, guest)| {
                scope.spawn(|| {
                    let runs = each_door(repo, kernel, guest)?;
                    let go = kernel.go.as_deref().zip(programs.as_deref());
                    let go = go.map(|(door, from)| go_programs(repo, guest, kernel, door, from));
                    anyhow::Ok((runs, go.transpose()?))
                })
            })
            .collect();
        started.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for runs in ended {
        let (runs, go) = runs.map_err(|_| anyhow!("testing a kernel ended early"))??;
        for run in runs {
            run.write(repo)?;
            run.count(tally);
        }
        if let Some(run) = go {
            run.count(tally);
        }
    }
    Ok(())
}

/// One boot per door.
fn each_door(repo: &Repo, kernel: &Kernel, guest: &Guest<'_>) -> Result<Vec<Run>> {
    let one = |door: &String| {
        let log = format!("smoke-{door}");
        through(repo, guest, kernel, door, &log, &["--smoke"], &[])
    };
    kernel.doors.iter().map(one).collect()
}

/// One boot for some Go programs of the matrix, which are in folder `from`.
fn go_programs(
    repo: &Repo,
    guest: &Guest<'_>,
    kernel: &Kernel,
    door: &str,
    from: &Path,
) -> Result<Run> {
    let name = from.file_name().unwrap_or_default();
    let place = Path::new("/run/bin").join(name).display().to_string();
    let mut which = vec!["--patience", "8", "--go-programs", place.as_str()];
    which.extend(go::ABROAD.iter().flat_map(|cell| ["--only", *cell]));
    through(repo, guest, kernel, door, "go", &which, &[from.to_owned()])
}

/// One boot with the scenarios that `which` chooses.
fn through(
    repo: &Repo,
    guest: &Guest<'_>,
    kernel: &Kernel,
    door: &str,
    log: &str,
    which: &[&str],
    more: &[PathBuf],
) -> Result<Run> {
    let mut programs = vec![repo.release("vor"), repo.release("vor-e2e"), e2e::apps(repo)];
    programs.extend_from_slice(more);
    let command = ["vor-e2e", "run", "--door", door];
    let places = ["--vor", "/run/bin/vor", "--apps", "/run/bin/apps"];
    let command = command.iter().chain(&places).chain(which);
    let command = command.map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut run = Run::new(repo, &kernel.name, &guest.release, door)?;
    let code = guest.run(log, SUITE_SECONDS, Clock::Wall, &programs, &command, |line| {
        say(format_args!("{} {log}: {line}", kernel.name));
        run.line(line);
    })?;
    run.ended(code);
    Ok(run)
}
