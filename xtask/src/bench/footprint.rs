// SPDX-License-Identifier: Apache-2.0
//! `bench footprint`: start → first span, memory after many spans, size of the binary; natively, needs root.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Tools, write};
use crate::{exec, exec::say, repo::Repo};

const SPANS: usize = 100_000;

/// What this release may take.
const START: Duration = Duration::from_millis(300);
const MEMORY_KIB: u64 = 30 * 1024;
pub(crate) const BINARY_BYTES: u64 = 15 * 1024 * 1024;

/// What vor logs when it begins to observe a process.
const SELECTED: &str = "observing";

/// After this nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(2);

/// A program that ends with us.
struct Running(Child);

impl Running {
    fn status(&self, key: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().context("reading /proc")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes of the binary that the release build has left.
pub(crate) fn binary(repo: &Repo) -> Result<u64> {
    let vor = repo.release("vor");
    Ok(fs::metadata(&vor).with_context(|| format!("no {}", vor.display()))?.len())
}

pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let tools = Tools::build(repo)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let _server = Running(Command::new(tools.path("server")).arg(port.to_string()).spawn()?);
    let (printed, log) = (tools.path("spans.txt"), tools.path("vor.log"));
    let mut vor = Running(
        Command::new(repo.release("vor"))
            .env("BEYLA_OPEN_PORT", port.to_string())
            .env("BEYLA_TRACE_PRINTER", "text")
            .stdout(File::create(&printed)?)
            .stderr(File::create(&log)?)
            .spawn()
            .context("starting vor")?,
    );
    let (first, total) = first_span(&mut vor, port, &printed, &log)?;
    thread::sleep(Duration::from_millis(500));
    let asked = spans(&printed)?;

    let load = [port.to_string(), SPANS.to_string(), "quiet".to_owned()];
    exec::run(Command::new(tools.path("load")).args(load))?;
    let sent = Instant::now();
    while spans(&printed)? < asked + SPANS && sent.elapsed() < PATIENCE {
        thread::sleep(POLL * 50);
    }
    let seen = spans(&printed)? - asked;
    let (memory, peak) = (vor.status("VmRSS")?, vor.status("VmHWM")?);
    let binary = binary(repo)?;

    let release = exec::text(repo.program("uname").arg("-r"))?;
    let made = format!("{}, {}, {}", release.trim(), repo.date()?, repo.commit()?);
    let figures = [
        ("process selected → first span", format!("{} ms", first.as_millis()), "300 ms"),
        ("start → first span", format!("{} ms", total.as_millis()), ""),
        ("resident memory after 100,000 spans", mib(memory * 1024), "30 MiB"),
        ("… and its peak", mib(peak * 1024), ""),
        ("binary, stripped", mib(binary), "15 MiB"),
        ("spans / requests", format!("{seen} / {SPANS}"), "all"),
        ("kernel, date, commit", made, ""),
    ];
    write(repo, "footprint", &["", "vor", "ceiling"], |table| {
        for (row, value, ceiling) in &figures {
            say(format_args!("{row}: {value}"));
            table.set(row, "vor", value);
            table.set(row, "ceiling", ceiling);
        }
    })?;
    Ok(first < START && memory < MEMORY_KIB && binary < BINARY_BYTES && seen == SPANS)
}

/// Asks until the first span is printed: how long since the server was selected, and since vor was started.
fn first_span(
    vor: &mut Running,
    port: u16,
    printed: &Path,
    log: &Path,
) -> Result<(Duration, Duration)> {
    let start = Instant::now();
    let mut selected = None;
    while spans(printed)? == 0 {
        if vor.0.try_wait()?.is_some() || start.elapsed() > PATIENCE {
            bail!("vor printed no span; see {}", log.display());
        }
        if selected.is_none() && fs::read_to_string(log)?.contains(SELECTED) {
            selected = Some(Instant::now());
        }
        // Refused until the server listens: the next round asks again.
        let _ = ask(port);
        thread::sleep(POLL);
    }
    let total = start.elapsed();
    Ok((selected.map_or(total, |at| at.elapsed()), total))
}

fn spans(printed: &Path) -> Result<usize> {
    let text = fs::read_to_string(printed)?;
    Ok(text.lines().filter(|line| line.contains("/item/")).count())
}

fn ask(port: u16) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(b"GET /item/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    server.read_exact(&mut [0; 12])?;
    Ok(())
}

fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
