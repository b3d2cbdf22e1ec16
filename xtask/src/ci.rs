// SPDX-License-Identifier: Apache-2.0
//! `check` and `ci`: one step after another, each with its time, and the sums at the end.

use std::{ffi::OsStr, path::PathBuf, time::Instant};

use anyhow::{Context, Result};

use crate::{
    bench, chart, e2e,
    exec::{self, say},
    golang::matrix,
    repo::Repo,
    tally::{Skips, Tally},
    tidy, vm,
};

type Step = (&'static str, fn(&Repo, &mut Tally) -> Result<()>);

/// What needs no root, in a few minutes.
const CHECK: &[Step] = &[
    ("format", formatted),
    ("tidy", tidied),
    ("licences", licences),
    ("clippy", clippy),
    ("unit, golden and contract tests", tests),
];

/// What needs root and other programs.
const BEYOND: &[Step] = &[
    ("manifests of Kubernetes", chart::manifests),
    ("root tests", root_tests),
    ("release build", release),
    ("end to end on this kernel", e2e::all),
    ("Go programs of three versions", matrix::some),
    ("smoke suite in virtual machines", smoke),
];

pub(crate) fn check(repo: &Repo) -> bool {
    steps(repo, CHECK.iter()).close(Skips::Count)
}

pub(crate) fn all(repo: &Repo, skips: Skips) -> bool {
    steps(repo, CHECK.iter().chain(BEYOND)).close(skips)
}

/// Runs every step, whatever became of those before it.
fn steps<'a>(repo: &Repo, steps: impl Iterator<Item = &'a Step>) -> Tally {
    let mut tally = Tally::default();
    let steps: Vec<_> = steps.collect();
    let start = Instant::now();
    for (at, (name, step)) in steps.iter().enumerate() {
        say(format_args!("==> [{}/{}] {name}", at + 1, steps.len()));
        let began = Instant::now();
        if let Err(why) = step(repo, &mut tally) {
            say(format_args!("{name}: {why:#}"));
            tally.fail(format!("{name}: {why:#}"));
        }
        let (took, since) = (began.elapsed().as_secs(), start.elapsed().as_secs());
        say(format_args!("    {name}: {took} s, {since} s in all"));
    }
    tally
}

/// Formats all Rust and C.
pub(crate) fn format(repo: &Repo) -> Result<()> {
    exec::run(repo.program("cargo").args(["fmt", "--all"]))?;
    exec::run(repo.program("clang-format-19").arg("-i").args(c_files(repo)?))
}

fn formatted(repo: &Repo, tally: &mut Tally) -> Result<()> {
    exec::run(repo.program("cargo").args(["fmt", "--all", "--check"]))?;
    exec::run(repo.program("clang-format-19").args(["--dry-run", "-Werror"]).args(c_files(repo)?))?;
    tally.pass(1);
    Ok(())
}

fn c_files(repo: &Repo) -> Result<Vec<PathBuf>> {
    let mut files = repo.files()?;
    files.retain(|file| {
        file.extension().and_then(OsStr::to_str).is_some_and(|e| e == "c" || e == "h")
    });
    Ok(files)
}

fn tidied(repo: &Repo, tally: &mut Tally) -> Result<()> {
    let faults = tidy::faults(repo)?;
    if faults.is_empty() {
        tally.pass(1);
    }
    for fault in faults {
        tally.fail(format!("tidy: {fault}"));
    }
    Ok(())
}

fn licences(repo: &Repo, tally: &mut Tally) -> Result<()> {
    if exec::text(repo.program("cargo").arg("--list"))?.lines().all(|l| l.trim() != "deny") {
        tally.skip("licences", "cargo-deny is not installed");
        return Ok(());
    }
    exec::run(repo.program("cargo").args(["deny", "--all-features", "check"]))?;
    tally.pass(1);
    Ok(())
}

fn clippy(repo: &Repo, tally: &mut Tally) -> Result<()> {
    exec::run(repo.program("cargo").args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    tally.pass(1);
    Ok(())
}

fn tests(repo: &Repo, tally: &mut Tally) -> Result<()> {
    let ignored = cargo_test(repo, &[], tally)?;
    if ignored > 0 {
        say(format_args!("{ignored} tests need root; `make test` runs them"));
    }
    Ok(())
}

fn root_tests(repo: &Repo, tally: &mut Tally) -> Result<()> {
    let uid = exec::text(repo.program("id").arg("-u"))?;
    if uid.trim() != "0" {
        tally.skip("root tests", "not root");
        return Ok(());
    }
    cargo_test(repo, &["--ignored", "root_", "--test-threads=1"], tally)?;
    Ok(())
}

/// Runs tests of all crates; how many were left out is returned.
fn cargo_test(repo: &Repo, args: &[&str], tally: &mut Tally) -> Result<u64> {
    let mut command = repo.program("cargo");
    command.args(["test", "--workspace", "--no-fail-fast", "--"]).args(args);
    let (mut ignored, mut sums, mut named) = (0, 0, false);
    let status = exec::lines(&mut command, |line| {
        if let Some(name) = line.strip_suffix(" ... FAILED") {
            tally.fail(name);
            named = true;
        }
        if let Some(sum) = Sum::of(line) {
            tally.pass(sum.passed);
            ignored += sum.ignored;
            sums += 1;
        } else if !is_noise(line) {
            say(line);
        }
    })?;
    if !status.success() && !named {
        tally.fail("cargo test: the tests did not build or did not end");
    }
    anyhow::ensure!(sums > 0, "no tests ran");
    Ok(ignored)
}

/// What is printed for each of some hundred tests that pass.
fn is_noise(line: &str) -> bool {
    line.is_empty()
        || line.ends_with(" ... ok")
        || line.contains(" ... ignored")
        || line.starts_with("running ")
}

/// `test result: ok. 12 passed; 0 failed; 3 ignored; …`
struct Sum {
    passed: u64,
    ignored: u64,
}

impl Sum {
    fn of(line: &str) -> Option<Self> {
        let (_, sums) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let of = |word: &str| sums.split("; ").find_map(|s| s.strip_suffix(word)?.parse().ok());
        Some(Self { passed: of(" passed")?, ignored: of(" ignored")? })
    }
}

fn release(repo: &Repo, tally: &mut Tally) -> Result<()> {
    e2e::build(repo)?;
    tally.pass(1);
    let size = bench::binary(repo)?;
    if size < bench::BINARY_BYTES {
        tally.pass(1);
    } else {
        tally.fail(format!("vor has {size} bytes, more than {}", bench::BINARY_BYTES));
    }
    Ok(())
}

fn smoke(repo: &Repo, tally: &mut Tally) -> Result<()> {
    vm::smoke(repo, None, tally).context("the virtual machines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_cargo_test_are_understood() {
        let line = "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; 2 filtered out; finished in 0.1s";
        let sum = Sum::of(line).unwrap();
        assert_eq!((sum.passed, sum.ignored), (12, 3));
        assert!(Sum::of("running 3 tests").is_none());
    }
}
