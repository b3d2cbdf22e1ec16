// SPDX-License-Identifier: Apache-2.0
//! Where one scenario takes place: its folder, its programs, its collector, its vor; and the closing account.
//!
//! The account: what was printed, what arrived over OTLP and what Prometheus would fetch are the same spans, as
//! many as expected; vor's counters balance; vor stops in order.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tempfile::TempDir;

use crate::apps::Apps;
use crate::collector::{Collector, Span};
use crate::law;
use crate::ports;
use crate::program::Program;
use crate::scenario::{Door, Expected};
use crate::scrape::{self, Sample};
use crate::until::until;
use crate::vor::{Settings, Vor};

/// How long something that must happen may take, on an unhurried machine.
const LIMIT: Duration = Duration::from_secs(10);
const SERVER_COUNTS: [&str; 2] =
    ["http_server_request_duration_seconds_count", "rpc_server_duration_seconds_count"];
const CLIENT_COUNTS: [&str; 4] = [
    "http_client_request_duration_seconds_count",
    "rpc_client_duration_seconds_count",
    "db_client_operation_duration_seconds_count",
    "messaging_client_operation_duration_seconds_count",
];

/// What is the same for all scenarios of a run.
pub struct World {
    /// The agent under test.
    pub vor: PathBuf,
    /// The door it is told to take; `None`: it chooses.
    pub door: Option<Door>,
    /// The programs to observe.
    pub apps: Apps,
    /// By how much all limits are stretched, for emulated machines.
    pub patience: u32,
}

/// Where the spans of a scene go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outputs {
    /// To every exporter.
    All,
    /// To standard output and nowhere else.
    Printed,
}

/// One scenario's surroundings; everything started here ends with it.
pub struct Scene<'a> {
    /// What is the same for all.
    pub world: &'a World,
    /// Receives what vor exports.
    pub collector: Collector,
    programs: Vec<Program>,
    vor: Option<Watch>,
    dir: TempDir,
}

struct Watch {
    vor: Vor,
    outputs: Outputs,
    text: bool,
    prometheus: u16,
}

/// A program of the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    index: usize,
    /// Its process id.
    pub pid: u32,
}

impl<'a> Scene<'a> {
    /// An empty scene.
    pub fn new(world: &'a World) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("vor-e2e-").tempdir()?;
        let collector = Collector::start()?;
        Ok(Self { world, collector, programs: Vec::new(), vor: None, dir })
    }

    /// A folder of its own, removed at the end.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How long something that must happen may take here.
    #[must_use]
    pub fn limit(&self) -> Duration {
        LIMIT * self.world.patience
    }

    /// Starts a program.
    pub fn start(&mut self, mut command: Command) -> Result<Actor> {
        let index = self.programs.len();
        let name = Path::new(command.get_program()).file_name().unwrap_or_default();
        let name = format!("{}-{index}", name.display());
        let program = Program::start(&name, &mut command, self.dir.path())?;
        let pid = program.pid();
        self.programs.push(program);
        Ok(Actor { index, pid })
    }

    /// Starts a program and waits until it listens on `port`.
    pub fn serve(&mut self, command: Command, port: u16) -> Result<Actor> {
        let actor = self.start(command)?;
        ports::open(port, self.limit())
            .with_context(|| format!("it said: {}", self.heard(actor)))?;
        Ok(actor)
    }

    /// A program that was started here.
    pub fn program(&mut self, actor: Actor) -> Result<&mut Program> {
        self.programs.get_mut(actor.index).context("no such program")
    }

    /// Gives a waiting client its sign and waits until it has done its work.
    pub fn go(&mut self, client: Actor) -> Result<()> {
        let limit = self.limit();
        let program = self.program(client)?;
        program.tell("go\n")?;
        program.succeed(limit)
    }

    fn heard(&self, actor: Actor) -> String {
        let said = self.programs.get(actor.index).map(Program::stderr);
        said.and_then(Result::ok).unwrap_or_default()
    }

    /// Settings that observe executables whose path matches this regular expression.
    pub fn executable(&self, pattern: &str) -> Result<Settings> {
        let file = self.dir().join("vor.yml");
        fs::write(&file, format!("discovery:\n  services:\n    - exe_path: '{pattern}'\n"))?;
        Ok(Settings::file(&file))
    }

    /// Starts vor with all exporters on and waits until it observes these programs.
    pub fn observe(&mut self, settings: &Settings, pids: &[u32]) -> Result<()> {
        let prometheus = match settings.get("BEYLA_PROMETHEUS_PORT") {
            Some(port) => port.parse()?,
            None => ports::free()?,
        };
        let settings = settings
            .clone()
            .or("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", self.collector.grpc))
            .or("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .or("OTEL_BSP_SCHEDULE_DELAY", "100")
            .or("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .or("BEYLA_PROMETHEUS_PORT", prometheus);
        self.launch(&settings, Outputs::All, prometheus, pids)
    }

    /// Starts vor with standard output as the only exporter and waits until it observes these programs.
    pub fn observe_printed(&mut self, settings: &Settings, pids: &[u32]) -> Result<()> {
        self.launch(settings, Outputs::Printed, 0, pids)
    }

    fn launch(
        &mut self,
        settings: &Settings,
        outputs: Outputs,
        prometheus: u16,
        pids: &[u32],
    ) -> Result<()> {
        let mut settings = settings.clone().or("BEYLA_TRACE_PRINTER", "text");
        if let Some(door) = self.world.door {
            settings = settings.with("VOR_DOOR", door.as_str());
        }
        let text = settings.get("BEYLA_TRACE_PRINTER") == Some("text");
        let vor = Vor::start(&self.world.vor, &settings, ports::free()?, self.dir.path())?;
        let watch = self.vor.insert(Watch { vor, outputs, text, prometheus });
        let limit = LIMIT * self.world.patience;
        until("vor serves its own metrics", limit, || {
            watch.vor.runs()?;
            Ok(watch.vor.own_metrics().is_ok())
        })?;
        pids.iter().try_for_each(|pid| watch.vor.observes(*pid, limit))
    }

    /// Waits until vor's probes stand in the code of so many files.
    pub fn probed(&mut self, files: usize) -> Result<()> {
        let limit = self.limit();
        self.vor()?.probed(files, limit)
    }

    /// Ends vor before the scene ends, in order and with balanced counters; what came out is not counted.
    pub fn dismiss(&mut self, losses: &[&str]) -> Result<()> {
        self.balance(losses, &[])?;
        let patience = self.world.patience;
        self.vor()?.stop(patience)?;
        self.vor = None;
        Ok(())
    }

    /// The vor of this scene.
    pub fn vor(&mut self) -> Result<&mut Vor> {
        Ok(&mut self.vor.as_mut().context("vor was not started")?.vor)
    }

    /// Waits until `count` spans arrived over OTLP, and returns what is there.
    pub fn spans(&self, count: usize) -> Result<Vec<Span>> {
        until(format!("{count} spans over OTLP"), self.limit(), || {
            Ok(self.collector.arrived().spans.len() >= count)
        })?;
        Ok(self.collector.arrived().spans.clone())
    }

    /// Waits until `count` spans were printed.
    pub fn printed(&mut self, count: usize) -> Result<()> {
        let limit = self.limit();
        let vor = self.vor()?;
        until(format!("{count} printed spans"), limit, || {
            vor.runs()?;
            Ok(printed_count(&vor.own_metrics()?) >= exact(count))
        })
    }

    /// The page that Prometheus would fetch.
    pub fn page(&self) -> Result<String> {
        let watch = self.vor.as_ref().context("vor was not started")?;
        scrape::get(watch.prometheus, "/metrics")
    }

    /// The closing account.
    pub fn close(&mut self, expected: &Expected) -> Result<()> {
        let Some(watch) = &self.vor else { return Ok(()) };
        let (outputs, text) = (watch.outputs, watch.text);
        let total = expected.server + expected.client;
        self.printed(total)?;
        let mut counted = None;
        if outputs == Outputs::All {
            self.spans(total)?;
            counted = Some(self.counted(expected)?);
        }
        self.balance(&expected.losses, &expected.holding)?;
        let patience = self.world.patience;
        self.vor()?.stop(patience)?;
        let wanted = (expected.server, expected.client);
        if text {
            let lines = self.vor()?.printed()?;
            let server = lines.iter().filter(|line| line.is_server()).count();
            ensure_same("printed", (server, lines.len() - server), wanted)?;
        }
        if let Some(counted) = counted {
            ensure_same("counted for Prometheus", counted, wanted)?;
            let spans = &self.collector.arrived().spans;
            // What a server does before and in its handler is part of its span.
            let calls = spans.iter().filter(|span| span.kind != SpanKind::Internal).count();
            let server = spans.iter().filter(|span| span.server).count();
            ensure_same("sent over OTLP", (server, calls - server), wanted)?;
            let ids: BTreeSet<_> = spans.iter().map(|span| span.id.as_str()).collect();
            ensure!(ids.len() == spans.len(), "two spans have the same id");
        }
        Ok(())
    }

    /// Server and client requests that the Prometheus page counts, once they are as many as expected.
    fn counted(&self, expected: &Expected) -> Result<(usize, usize)> {
        let mut counts = (0.0, 0.0);
        let wanted = (exact(expected.server), exact(expected.client));
        let all = until("the same numbers for Prometheus", self.limit(), || {
            let page = scrape::parse(&self.page()?)?;
            let sum =
                |names: &[&str]| names.iter().map(|name| scrape::sum(&page, name)).sum::<f64>();
            counts = (sum(&SERVER_COUNTS), sum(&CLIENT_COUNTS));
            Ok(counts == wanted)
        });
        all.with_context(|| format!("counted {counts:?}, expected {wanted:?}"))?;
        Ok((expected.server, expected.client))
    }

    /// Waits until vor's counters balance, with these losses and no others.
    pub fn balance(&mut self, losses: &[&str], holding: &[&str]) -> Result<()> {
        let limit = self.limit();
        let vor = self.vor()?;
        let start = Instant::now();
        loop {
            match law::check(&vor.own_metrics()?, losses, holding) {
                Ok(()) => return Ok(()),
                // What is on its way from one stage to the next is not lost.
                Err(error) if start.elapsed() > limit => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// What vor said and what arrived, for whoever must find out why a scenario failed.
    pub fn story(&mut self) -> String {
        let mut story = String::new();
        if let Some(watch) = &mut self.vor {
            let vor = &watch.vor;
            tell(&mut story, "vor logged", vor.log(), 40);
            tell(&mut story, "vor printed", vor.output(), 20);
            let own = vor.own_metrics().map(|page| page.iter().map(short).collect::<String>());
            tell(&mut story, "vor counted", own, 80);
        }
        for program in &self.programs {
            tell(&mut story, "a program said", program.stderr(), 5);
        }
        let arrived = self.collector.arrived();
        let _ = writeln!(
            story,
            "--- over OTLP: {} spans, {} points",
            arrived.spans.len(),
            arrived.points.len()
        );
        for span in arrived.spans.iter().take(20) {
            let _ = writeln!(story, "{:?} {} {:?}", span.kind, span.name, span.attrs);
        }
        story
    }
}

fn tell(story: &mut String, title: &str, text: Result<String>, lines: usize) {
    let text = text.unwrap_or_else(|error| format!("{error:#}"));
    let skipped = text.lines().count().saturating_sub(lines);
    let _ = writeln!(story, "--- {title} ({skipped} lines before these)");
    for line in text.lines().skip(skipped) {
        let _ = writeln!(story, "{line}");
    }
}

fn short(sample: &Sample) -> String {
    let labels: Vec<_> = sample.labels.values().map(String::as_str).collect();
    format!("{} {} {}\n", sample.name, labels.join(" "), sample.value)
}

fn printed_count(own: &[Sample]) -> f64 {
    let of_print = |s: &&Sample| s.name == "vor_stage_out_total" && s.label("stage") == "print";
    own.iter().filter(of_print).map(|sample| sample.value).sum()
}

fn ensure_same(what: &str, got: (usize, usize), wanted: (usize, usize)) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    bail!("{what}: {got:?} spans of servers and of clients, expected {wanted:?}")
}

/// A count as the floating point number it is compared with.
#[must_use]
pub fn exact(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// The only item of a list.
pub fn only<T: Clone>(list: &[T]) -> Result<T> {
    match list {
        [one] => Ok(one.clone()),
        other => Err(anyhow!("expected one item, got {}", other.len())),
    }
}
