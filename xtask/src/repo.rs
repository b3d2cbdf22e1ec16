// SPDX-License-Identifier: Apache-2.0
//! The working tree: where it is, what is in it, which commit it shows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::exec;

/// What `cargo metadata` says about this workspace.
#[derive(Deserialize)]
pub(crate) struct Repo {
    /// The folder of the workspace's manifest.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    #[serde(rename = "target_directory")]
    target: PathBuf,
    pub packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub name: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub name: String,
    /// `None` for what the crate itself uses, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Repo {
    pub(crate) fn find() -> Result<Self> {
        let out = exec::text(Command::new("cargo").args([
            "metadata",
            "--format-version=1",
            "--no-deps",
        ]))?;
        serde_json::from_str(&out).context("reading cargo metadata")
    }

    /// Where cargo puts a program of the release profile.
    pub(crate) fn release(&self, program: &str) -> PathBuf {
        self.target.join("release").join(program)
    }

    /// Kernels, logs and the like; always inside the tree, whatever cargo's folder is.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("target/vm")
    }

    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.current_dir(&self.root);
        command
    }

    /// Every file that is, or is about to be, part of the project.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let listed = exec::text(self.program("git").args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let mut files: Vec<_> =
            listed.lines().map(PathBuf::from).filter(|f| self.root.join(f).is_file()).collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    pub(crate) fn read(&self, file: &Path) -> Result<String> {
        let path = self.root.join(file);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The commit, with a `+` if what is tested differs from it; pages do not count.
    pub(crate) fn commit(&self) -> Result<String> {
        let head = exec::text(self.program("git").args(["rev-parse", "--short", "HEAD"]))?;
        let same = self
            .program("git")
            .args(["diff", "--quiet", "HEAD", "--", ".", ":!docs"])
            .stdout(Stdio::null())
            .status()?
            .success();
        Ok(format!("{}{}", head.trim(), if same { "" } else { "+" }))
    }

    /// Today, in UTC.
    pub(crate) fn date(&self) -> Result<String> {
        let date = exec::text(self.program("date").args(["-u", "+%F"]))?;
        Ok(date.trim().to_owned())
    }
}
