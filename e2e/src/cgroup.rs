// SPDX-License-Identifier: Apache-2.0
//! Control groups as container runtimes lay them out.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::scenario::Skip;

/// Where a hierarchy of version 2 is mounted.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A control group and those above it that did not exist. At the end whoever is in it moves to the root.
pub struct Cgroup {
    root: &'static Path,
    path: PathBuf,
}

impl Cgroup {
    /// The group at `path` below the root.
    pub fn create(path: &str) -> Result<Self> {
        let v2 = |root: &&str| Path::new(root).join("cgroup.controllers").exists();
        let Some(root) = ROOTS.iter().find(|root| v2(root)) else {
            return Err(Skip("no control groups of version 2".to_owned()).into());
        };
        let (root, path) = (Path::new(*root), Path::new(root).join(path));
        if let Err(error) = fs::create_dir_all(&path) {
            return Err(Skip(format!("no control group can be made: {error}")).into());
        }
        Ok(Self { root, path })
    }

    /// The same command, which puts itself into this group first.
    pub fn command(&self, command: &Command) -> Result<Command> {
        let procs = self.path.join("cgroup.procs");
        let mut shell = Command::new("sh");
        let enter = format!("echo $$ > '{}' && exec \"$@\"", procs.display());
        shell.args(["-c", &enter, "sh"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap_or(OsStr::new("")));
        }
        if let Some(dir) = command.get_current_dir() {
            shell.current_dir(dir);
        }
        Ok(shell)
    }

    fn empty(&self) -> Result<()> {
        let members = fs::read_to_string(self.path.join("cgroup.procs"))?;
        members.lines().try_for_each(|pid| {
            fs::write(self.root.join("cgroup.procs"), pid).context("moving a process")
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What has ended meanwhile is moved nowhere.
        let _ = self.empty();
        let mut group = self.path.as_path();
        while group != self.root && fs::remove_dir(group).is_ok() {
            let Some(above) = group.parent() else { return };
            group = above;
        }
    }
}
