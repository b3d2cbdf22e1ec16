// SPDX-License-Identifier: Apache-2.0
//! The agent under test: its settings, its process, what it says.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::flows;
use crate::held::{self, Held};
use crate::printed::{self, Line};
use crate::program::Program;
use crate::scene::exact;
use crate::scrape::{self, Sample};
use crate::until::until;

/// How long vor may take to stop: what `shutdown_timeout` says. Each tracepoint that it leaves costs the kernel a grace
/// period, one after the other: 20 of them take 0.7 s on a machine at rest, and four times that on a busy one.
const STOP: Duration = Duration::from_secs(10);

/// Environment of one vor.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    variables: Vec<(String, String)>,
    through: Vec<String>,
}

impl Settings {
    /// Observes whoever listens on `port`.
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self::default().with("BEYLA_OPEN_PORT", port)
    }

    /// Takes a settings file.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self::default().with("BEYLA_CONFIG_PATH", path.display())
    }

    /// One more variable; the last of a name wins.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "callers read better without references")]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// One more variable, unless it is set already.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "callers read better without references")]
    pub fn or(self, name: &str, value: impl ToString) -> Self {
        if self.get(name).is_some() { self } else { self.with(name, value) }
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// vor is started by this command, whose last argument it becomes.
    #[must_use]
    pub fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A command for `vor` with these variables and no other settings.
    #[must_use]
    pub fn command(&self, vor: &Path) -> Command {
        let mut command = match self.through.split_first() {
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(vor);
                command
            }
            None => Command::new(vor),
        };
        let kept = ["PATH", "HOME", "TZ"].map(|name| (name, std::env::var_os(name)));
        command.env_clear();
        command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running vor.
pub struct Vor {
    program: Program,
    own_metrics: u16,
}

impl Vor {
    /// Starts `vor` without a subcommand.
    pub fn start(vor: &Path, settings: &Settings, own_metrics: u16, dir: &Path) -> Result<Self> {
        let settings = settings
            .clone()
            .with("BEYLA_INTERNAL_METRICS_EXPORTER", "prometheus")
            .with("BEYLA_INTERNAL_METRICS_PROMETHEUS_PORT", own_metrics);
        let program = Program::start("vor", &mut settings.command(vor), dir)?;
        Ok(Self { program, own_metrics })
    }

    /// Waits until it says that it observes `pid`.
    pub fn observes(&mut self, pid: u32, limit: Duration) -> Result<()> {
        let token = format!("pid={pid}");
        until(format!("vor observes pid {pid}"), limit, || {
            self.runs()?;
            let log = self.log()?;
            let of_pid = |line: &str| {
                line.contains("observing") && line.split_whitespace().any(|word| word == token)
            };
            Ok(log.lines().any(of_pid))
        })
    }

    /// Waits until its probes stand in the code of so many files.
    pub fn probed(&mut self, files: usize, limit: Duration) -> Result<()> {
        let of_files = |s: &&Sample| {
            s.name == "vor_stage_reading"
                && s.label("stage") == "files"
                && s.label("what") == "attached"
        };
        until(format!("probes in {files} files"), limit, || {
            self.runs()?;
            let attached =
                self.own_metrics()?.iter().filter(of_files).map(|s| s.value).sum::<f64>();
            Ok(attached >= exact(files))
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.program.signal(signal)
    }

    /// Waits until it has ended.
    pub fn ends(&mut self, limit: Duration) -> Result<()> {
        self.program.wait(limit).map(drop)
    }

    /// Fails when it has ended.
    pub fn runs(&mut self) -> Result<()> {
        if let Some(status) = self.program.ended()? {
            bail!("vor ended by itself: {status}");
        }
        Ok(())
    }

    /// What it logged so far.
    pub fn log(&self) -> Result<String> {
        self.program.stderr()
    }

    /// What it wrote to standard output so far.
    pub fn output(&self) -> Result<String> {
        self.program.stdout()
    }

    /// The spans it printed so far; flows, and a line that is still being written, are left out.
    pub fn printed(&self) -> Result<Vec<Line>> {
        let output = self.output()?;
        let whole = output.rfind('\n').and_then(|end| output.get(..end)).unwrap_or_default();
        let spans = whole.lines().filter(|line| !line.starts_with(flows::MARK));
        spans.map(printed::parse).collect()
    }

    /// Its own metrics.
    pub fn own_metrics(&self) -> Result<Vec<Sample>> {
        scrape::parse(&scrape::get(self.own_metrics, "/internal/metrics")?)
    }

    /// What it holds in the kernel.
    pub fn held(&self) -> Result<Held> {
        held::of(self.program.pid())
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// Bytes of memory that hold its own data, without pages of files that the kernel keeps at hand.
    pub fn anonymous(&self) -> Result<u64> {
        self.memory("RssAnon:")
    }

    fn memory(&self, kind: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.with_context(|| format!("no {kind}"))?.trim().parse::<u64>()? * 1024)
    }

    /// Tells it to stop and demands that it does, in time and in order.
    pub fn stop(&mut self, patience: u32) -> Result<()> {
        self.runs()?;
        self.program.signal(Signal::TERM)?;
        let status = self.program.wait(STOP * patience)?;
        ensure!(status.code() == Some(0), "vor stopped with {status}");
        ensure!(!self.log()?.contains("panicked at"), "vor panicked");
        Ok(())
    }
}
