// SPDX-License-Identifier: Apache-2.0
//! `bench kube`: what following a cluster of 5,000 pods and 1,000 services costs; needs root.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::write;
use crate::{exec, exec::say, repo::Repo};

const PODS: u64 = 5_000;
const SERVICES: u64 = 1_000;
/// Changes each second, and for how many seconds.
const CHANGES: u64 = 50;
const SECONDS: u64 = 20;

/// What this may take.
const MEMORY_KIB: u64 = 60 * 1024;
const SYNC: Duration = Duration::from_secs(5);
const CPU_PERCENT: f64 = 2.0;

/// After this nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long memory and load settle.
const SETTLE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);
/// `USER_HZ`.
const TICKS: f64 = 100.0;

/// A program that ends with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let build = ["build", "--release", "--package", "vor-apiserver"];
    exec::run(repo.program("cargo").args(build))?;
    let folder = repo.scratch().join("bench-kube");
    fs::create_dir_all(&folder)?;
    let (_server, wishes) = serve(repo, &folder)?;
    wish(&wishes, "generate", &format!("{{\"pods\": {PODS}, \"services\": {SERVICES}}}"))?;

    let alone = Vor::start(repo, &folder, None)?;
    thread::sleep(SETTLE);
    let before = alone.status("VmRSS")?;
    drop(alone);

    let start = Instant::now();
    let vor = Vor::start(repo, &folder, Some(&folder.join("kubeconfig")))?;
    while vor.gauge("pods")? < PODS || vor.gauge("services")? < SERVICES {
        ensure!(start.elapsed() < PATIENCE, "the cluster was not listed in time");
        thread::sleep(POLL);
    }
    let sync = start.elapsed();
    thread::sleep(SETTLE);
    let (after, peak) = (vor.status("VmRSS")?, vor.status("VmHWM")?);
    let idle = vor.load(|| {
        thread::sleep(Duration::from_secs(SECONDS));
        Ok(())
    })?;
    let taken = vor.gauge_of("kube", "in")?;
    let busy = vor.load(|| {
        (0..SECONDS * 5).try_for_each(|_| {
            thread::sleep(Duration::from_millis(200));
            wish(&wishes, "touch", &format!("{{\"pods\": {}}}", CHANGES / 5))
        })
    })?;
    let changes = vor.gauge_of("kube", "in")? - taken;

    let release = exec::text(repo.program("uname").arg("-r"))?;
    let made = format!("{}, {}, {}", release.trim(), repo.date()?, repo.commit()?);
    let more = after.saturating_sub(before);
    let figures = [
        ("start → all objects known", format!("{} ms", sync.as_millis()), "5 s"),
        ("more resident memory", mib(more), "60 MiB"),
        ("… and at its peak", mib(peak.saturating_sub(before)), ""),
        ("changes taken in", format!("{changes} in {SECONDS} s"), ""),
        ("of one CPU, at these changes", format!("{busy:.1} %"), "2 %"),
        ("of one CPU, without changes", format!("{idle:.1} %"), ""),
        ("kernel, date, commit", made, ""),
    ];
    write(repo, "kube", &["", "vor", "ceiling"], |table| {
        for (row, value, ceiling) in &figures {
            say(format_args!("{row}: {value}"));
            table.set(row, "vor", value);
            table.set(row, "ceiling", ceiling);
        }
    })?;
    // Some changes of a pod leave what is kept of it as it is; all are heard of.
    let heard = changes >= CHANGES * SECONDS * 9 / 10;
    Ok(sync < SYNC && more < MEMORY_KIB && busy < CPU_PERCENT && heard)
}

/// The API server for tests, and where it hears wishes.
fn serve(repo: &Repo, folder: &Path) -> Result<(Running, String)> {
    let mut command = repo.program(&repo.release("vor-apiserver").to_string_lossy());
    command.arg("--access").arg(folder).stdout(Stdio::piped());
    let mut server = Running(command.spawn().context("starting the API server")?);
    let out = server.0.stdout.take().context("no pipe from the API server")?;
    let wishes = BufReader::new(out).lines().nth(2).context("the API server ended")??;
    Ok((server, wishes))
}

fn wish(wishes: &str, what: &str, body: &str) -> Result<()> {
    let url = format!("{wishes}/{what}");
    exec::run(Command::new("curl").args(["-sf", "-o", "/dev/null", "-X", "POST", "-d", body, &url]))
}

struct Vor {
    running: Running,
    port: u16,
}

impl Vor {
    /// Observes nobody; returns when it serves its own metrics.
    fn start(repo: &Repo, folder: &Path, kubeconfig: Option<&Path>) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(repo.release("vor"));
        command
            .env("BEYLA_OPEN_PORT", "1")
            .env("BEYLA_TRACE_PRINTER", "text")
            .env("BEYLA_INTERNAL_METRICS_EXPORTER", "prometheus")
            .env("BEYLA_INTERNAL_METRICS_PROMETHEUS_PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("vor.log"))?);
        if let Some(kubeconfig) = kubeconfig {
            command
                .env("BEYLA_KUBE_METADATA_ENABLE", "true")
                .env("VOR_KUBE_NODE_NAME", "node-1")
                .env("KUBECONFIG", kubeconfig);
        }
        let vor = Self { running: Running(command.spawn().context("starting vor")?), port };
        let start = Instant::now();
        while vor.page().is_err() {
            ensure!(start.elapsed() < PATIENCE, "vor does not serve its metrics");
            thread::sleep(POLL);
        }
        Ok(vor)
    }

    fn page(&self) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/internal/metrics", self.port);
        exec::text(Command::new("curl").args(["-sf", &url]))
    }

    fn gauge(&self, what: &str) -> Result<u64> {
        self.number(&format!("stage=\"kube\",what=\"{what}\""))
    }

    fn gauge_of(&self, stage: &str, what: &str) -> Result<u64> {
        self.number(&format!("vor_stage_{what}_total{{stage=\"{stage}\""))
    }

    /// The value of the line with these labels; 0 before there is one.
    fn number(&self, labels: &str) -> Result<u64> {
        let page = self.page()?;
        let Some(line) = page.lines().find(|line| line.contains(labels)) else { return Ok(0) };
        line.rsplit(' ').next().unwrap_or_default().parse().context("reading a metric")
    }

    fn status(&self, key: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.0.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().context("reading /proc")
    }

    /// Per cent of one CPU that vor takes meanwhile.
    fn load(&self, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
        let (start, before) = (Instant::now(), self.ticks()?);
        meanwhile()?;
        let ticks = u32::try_from(self.ticks()? - before)?;
        Ok(f64::from(ticks) / TICKS / start.elapsed().as_secs_f64() * 100.0)
    }

    /// Time on a processor so far: fields 14 and 15 of `/proc/PID/stat`.
    fn ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.running.0.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("reading /proc")?;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        times.sum::<Result<u64, _>>().context("reading /proc")
    }
}

fn mib(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}
