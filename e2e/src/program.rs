// SPDX-License-Identifier: Apache-2.0
//! A child process in a group of its own, its output in files; ended with everything it started.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::until::until;

/// A running program.
pub struct Program {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

impl Program {
    /// Starts `command`; what it writes goes to `NAME.out` and `NAME.err` in `dir`.
    pub fn start(name: &str, command: &mut Command, dir: &Path) -> Result<Self> {
        let out = dir.join(format!("{name}.out"));
        let err = dir.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::piped())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} ({})", command.get_program().display()))?;
        Ok(Self { child, name: name.to_owned(), out, err })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes `text` to its standard input, and nothing after that.
    pub fn tell(&mut self, text: &str) -> Result<()> {
        let mut input = self.child.stdin.take().context("its input is closed")?;
        input.write_all(text.as_bytes()).with_context(|| format!("writing to {}", self.name))
    }

    /// Sends `signal` to it alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?).context("pid 0")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let mut end = None;
        until(what, limit, || {
            end = self.child.try_wait()?;
            Ok(end.is_some())
        })?;
        end.context("no exit status")
    }

    /// Waits for its end and demands that it went well.
    pub fn succeed(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait(limit)?;
        if !status.success() {
            let (code, signal) = (status.code(), status.signal());
            bail!("{} ended with {code:?}, signal {signal:?}: {}", self.name, self.stderr()?);
        }
        Ok(())
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.out)?).into_owned())
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.err)?).into_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Fails only where nobody of the group is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
