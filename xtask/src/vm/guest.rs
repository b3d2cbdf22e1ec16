// SPDX-License-Identifier: Apache-2.0
//! One boot: a command in, the lines it wrote and its exit code out.
//!
//! The guest's root is this machine's file system over 9p, read only below memory; results come back on the console.
//! Everything the console said is kept in target/vm/logs.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result};

use super::{Kernel, kernel};
use crate::{
    exec::{self, say},
    repo::Repo,
};

/// What the guest's clock follows.
#[derive(Clone, Copy)]
pub(crate) enum Clock {
    /// Time passes as it does outside.
    Wall,
    /// One nanosecond per instruction: repeatable to about one per cent.
    Instructions,
}

impl Clock {
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Wall => &[],
            Self::Instructions => &["--qemu-opts=-icount shift=0,sleep=off"],
        }
    }
}

/// Emulated processors do not see each other's changes of code in time: while tracepoints are switched on and off,
/// a kernel with two of them dies of a breakpoint that is gone (`Oops: int3`).
const PROCESSORS: &str = "1";

/// A kernel ready to boot.
pub(crate) struct Guest<'a> {
    repo: &'a Repo,
    folder: PathBuf,
    name: String,
    /// What `uname -r` says there.
    pub release: String,
}

/// An emulator may fail before the guest has begun (QEMU 7.2 aborts now and then in `msix_table_mmio_write`): so
/// often it is started.
const BOOTS: u32 = 3;

/// Exit code of a guest that did not come to its end.
const DIED: i32 = 255;

impl<'a> Guest<'a> {
    pub(crate) fn new(repo: &'a Repo, kernel: &Kernel) -> Result<Self> {
        let folder = kernel::folder(repo, kernel)?;
        let release = kernel::release(&folder)?;
        Ok(Self { repo, folder, name: kernel.name.clone(), release })
    }

    /// Boots, copies the programs into memory, runs the command there and hands over its lines.
    /// `log` names the file of the console; the boot ends after `seconds` at the latest.
    pub(crate) fn run(
        &self,
        log: &str,
        seconds: u32,
        clock: Clock,
        programs: &[PathBuf],
        command: &[String],
        mut each: impl FnMut(&str),
    ) -> Result<i32> {
        let logs = self.repo.scratch().join("logs");
        fs::create_dir_all(&logs)?;
        let console = logs.join(format!("{}-{log}.txt", self.name));
        for _ in 0..BOOTS {
            let mut boot = self.boot(seconds, clock, programs, command);
            let ended = follow(&mut boot, File::create(&console)?, &mut each)?;
            if let Some(code) = ended.code {
                return Ok(code);
            }
            say(format_args!(
                "the guest did not come to its end ({}); see {}",
                ended.status,
                console.display()
            ));
            if ended.began {
                break;
            }
        }
        Ok(DIED)
    }

    /// The emulator. `timeout` leads a process group of its own and ends all of it; it is told when we end.
    fn boot(
        &self,
        seconds: u32,
        clock: Clock,
        programs: &[PathBuf],
        command: &[String],
    ) -> Command {
        let virtme = self.repo.scratch().join("virtme-ng");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = path.to_string_lossy();
        let mut boot = self.repo.program("setpriv");
        boot.args(["--pdeathsig", "TERM", "timeout", "--kill-after=5", &seconds.to_string()])
            .arg(virtme.join("bin/vng"))
            .args([
                "--force-9p",
                "--verbose",
                "--disable-kvm",
                "--memory",
                "4G",
                "--cpus",
                PROCESSORS,
            ])
            .args(clock.args())
            .arg("--run")
            .arg(self.folder.join("boot").join(format!("vmlinuz-{}", self.release)))
            .args(["--", &self.script(&path, programs, command)])
            .env("PYTHONPATH", &virtme)
            .env("PATH", format!("{}:{path}", virtme.join("bin").display()));
        boot
    }

    /// One shell line: the guest starts with an environment of its own.
    fn script(&self, path: &str, programs: &[PathBuf], command: &[String]) -> String {
        let mut words = vec![
            "env".to_owned(),
            quoted(&format!("PATH={path}")),
            quote(&self.repo.root.join("tests/vm/guest")),
        ];
        for program in programs {
            words.push("-p".to_owned());
            words.push(quote(program));
        }
        words.extend(command.iter().map(|word| quoted(word)));
        words.join(" ")
    }
}

/// How a boot ended.
struct Ended {
    /// Whether the command was started.
    began: bool,
    /// Its exit code.
    code: Option<i32>,
    status: ExitStatus,
}

/// Runs the emulator: its console goes to a file, what the command prints to `each`.
fn follow(boot: &mut Command, mut console: File, each: &mut impl FnMut(&str)) -> Result<Ended> {
    let (mut began, mut inside, mut code) = (false, false, None);
    let status = exec::all_lines(boot, |line| {
        let _ = writeln!(console, "{line}");
        if line.starts_with("guest: kernel ") {
            (began, inside) = (true, true);
        } else if let Some(exit) = line.strip_prefix("guest: exit ") {
            inside = false;
            code = exit.parse().ok();
        } else if inside {
            each(line);
        }
    })
    .context("booting a virtual machine; `scripts/install vm` installs what it needs")?;
    Ok(Ended { began, code, status })
}

fn quote(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_guest_as_they_are() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
