// SPDX-License-Identifier: Apache-2.0
//! The demo: a small shop of unmodified services, customers, and vor that watches; live traces, then a table.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use vor_e2e::apps::Apps;
use vor_e2e::ports;
use vor_e2e::printed;
use vor_e2e::red::Red;
use vor_e2e::shop::Shop;
use vor_e2e::vor::{Settings, Vor};
use vor_e2e::web;

const LIMIT: Duration = Duration::from_secs(20);
/// One trace is shown per this time, so that a person can read along.
const PACE: Duration = Duration::from_secs(1);
/// Pause of a customer between two requests.
const THINKING: Duration = Duration::from_millis(40);
const CUSTOMERS: usize = 4;

/// Shows what vor sees of a small shop.
#[derive(Debug, Parser)]
struct Cli {
    /// How long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The vor to show; by default the one built beside this program.
    #[arg(long)]
    vor: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Cli::parse(), &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, out: &mut impl Write) -> Result<()> {
    let over = stop_sign()?;
    let dir = tempfile::Builder::new().prefix("vor-demo-").tempdir()?;
    writeln!(out, "Building the services …")?;
    let apps = Apps::build(&dir.path().join("apps"))?;
    let mut shop = Shop::open(&apps, dir.path(), LIMIT)?;
    for service in &shop.services {
        let (name, made_of, port) = (service.name, service.made_of, service.port);
        writeln!(out, "  {name:<8} {made_of:<8} port {port}, pid {}", service.pid())?;
    }
    let mut vor = watch(cli, &shop, dir.path())?;
    writeln!(
        out,
        "vor observes them; nothing about them was changed. Some of the traces, live:\n"
    )?;

    let start = Instant::now();
    let end = Duration::from_secs(cli.seconds);
    let customers = Customers::send(shop.front()?);
    let mut screen = Screen::default();
    while start.elapsed() < end && !over.load(Ordering::Relaxed) {
        sleep(PACE);
        shop.is_open()?;
        vor.runs()?;
        screen.show(&vor, out)?;
    }
    let asked = customers.call_back()?;
    let run = start.elapsed();
    // What is on its way when the last customer leaves is still counted.
    vor.stop(1).with_context(|| format!("vor said: {}", vor.log().unwrap_or_default()))?;

    let mut red = Red::default();
    vor.output()?.lines().filter_map(printed::leaf).for_each(|line| red.add(&line));
    writeln!(out, "\n{asked} requests in {:.0} s:\n\n{}", run.as_secs_f64(), red.table(run))?;
    let cut_short = over.load(Ordering::Relaxed);
    ensure!(red.spans() > 0 || cut_short, "no spans were seen; vor said:\n{}", vor.log()?);
    Ok(())
}

/// Starts vor on the services' ports and waits until it observes all of them.
fn watch(cli: &Cli, shop: &Shop, dir: &Path) -> Result<Vor> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("vor"));
    let path = cli.vor.clone().map_or_else(beside, anyhow::Ok)?;
    let path = path.canonicalize().with_context(|| {
        format!("{} is missing: build it, or name another with --vor", path.display())
    })?;
    let settings = Settings::default()
        .with("BEYLA_OPEN_PORT", shop.ports())
        .with("BEYLA_TRACE_PRINTER", "tree");
    let mut vor = Vor::start(&path, &settings, ports::free()?, dir)?;
    for service in &shop.services {
        vor.observes(service.pid(), LIMIT)
            .with_context(|| format!("vor said: {}", vor.log().unwrap_or_default()))?;
    }
    Ok(vor)
}

/// True once the demo is to end early.
fn stop_sign() -> Result<Arc<AtomicBool>> {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stop = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = stop.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    });
    Ok(over)
}

/// People who buy things.
struct Customers {
    crew: Vec<thread::JoinHandle<()>>,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Customers {
    fn send(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let customer = || {
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            move || {
                while !over.load(Ordering::Relaxed) {
                    let item = asked.fetch_add(1, Ordering::Relaxed) % 50;
                    // A shop that fails is shown by its spans.
                    let _ = web::get(port, &format!("/orders/{item}"));
                    sleep(THINKING);
                }
            }
        };
        let crew = (0..CUSTOMERS).map(|_| thread::spawn(customer())).collect();
        Self { crew, over, asked }
    }

    /// How often they asked.
    fn call_back(self) -> Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        for customer in self.crew {
            customer.join().ok().context("a customer panicked")?;
        }
        Ok(self.asked.load(Ordering::Relaxed))
    }
}

/// Shows a few of many traces.
#[derive(Default)]
struct Screen {
    /// Bytes of the output that were looked at.
    seen: usize,
}

impl Screen {
    /// Shows the largest of the traces that are new.
    fn show(&mut self, vor: &Vor, out: &mut impl Write) -> Result<()> {
        let output = vor.output()?;
        // The last one may be in the middle of being written.
        let whole = output.rfind("trace ").unwrap_or_default();
        let new = output.get(self.seen..whole).unwrap_or_default();
        self.seen = whole;
        let largest = new.split("trace ").max_by_key(|tree| tree.lines().count());
        if let Some(tree) = largest.filter(|tree| !tree.is_empty()) {
            writeln!(out, "trace {tree}")?;
        }
        Ok(out.flush()?)
    }
}
