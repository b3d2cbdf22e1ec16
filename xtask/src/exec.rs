// SPDX-License-Identifier: Apache-2.0
//! Running other programs: their output in, text, lines or a verdict out.

use std::{
    fmt::Display,
    io::{self, BufRead, BufReader, Write},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

/// Writes one line to standard output; a reader that went away is not our concern.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Runs a program whose failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", name(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", name(command));
    }
    Ok(())
}

/// What a program wrote to standard output; its failure is an error.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", name(command)))?;
    if !out.status.success() {
        bail!("{} failed: {}", name(command), out.status);
    }
    String::from_utf8(out.stdout).with_context(|| format!("reading from {}", name(command)))
}

/// Hands over each line of standard output as it comes; errors stay on standard error.
pub(crate) fn lines(command: &mut Command, each: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", name(command)))?;
    let out = child.stdout.take().context("no pipe from the program")?;
    read(out, each)?;
    Ok(child.wait()?)
}

/// The same for standard output and standard error together.
pub(crate) fn all_lines(command: &mut Command, each: impl FnMut(&str)) -> Result<ExitStatus> {
    let (from, to) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
    let mut child = command.spawn().with_context(|| format!("starting {}", name(command)))?;
    // The command keeps our ends of the pipe; without this the last line would never come.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    read(from, each)?;
    Ok(child.wait()?)
}

fn read(from: impl io::Read, mut each: impl FnMut(&str)) -> Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
