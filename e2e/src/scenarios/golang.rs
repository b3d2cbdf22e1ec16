// SPDX-License-Identifier: Apache-2.0
//! Probes in the code of Go programs come and go; the programs stay, and nothing of the probes does.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::held::Held;
use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene, exact};
use crate::scrape;
use crate::until::until;
use crate::vor::Settings;
use crate::web::Talk;

const RESTARTS: usize = 100;
/// After so many restarts, what vor keeps for the next program is there.
const WARM_UP: usize = 5;
const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("go-outlives-vor", outlives).needs(&["web"]),
        Scenario::new("go-restarts", restarts).needs(&["web"]),
    ]
}

/// A server of `net/http`.
fn serve(scene: &mut Scene<'_>, port: u16) -> Result<Actor> {
    let mut command: Command = scene.world.apps.program("web");
    command.args(["server", &port.to_string()]);
    scene.serve(command, port)
}

fn settings(scene: &Scene<'_>) -> Result<Settings> {
    scene.executable(&format!("^{}$", scene.world.apps.path("web").display()))
}

/// vor leaves a server under load, and comes again: no call fails.
fn outlives(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let server = serve(scene, port)?;
    let settings = settings(scene)?;
    scene.observe_printed(&settings, &[server.pid])?;
    scene.probed(1)?;
    let callers = Callers::send(port);
    scene.printed(50)?;
    let patience = scene.world.patience;
    scene.vor()?.stop(patience)?;
    callers.wait(200, scene.limit())?;
    scene.observe_printed(&settings, &[server.pid])?;
    scene.probed(1)?;
    scene.printed(50)?;
    let (answered, failed) = callers.call_back()?;
    ensure!(failed == 0, "{failed} calls failed, {answered} were answered");
    ensure!(scene.program(server)?.ended()?.is_none(), "the server ended");
    scene.dismiss(&[])?;
    Ok(Expected::default())
}

/// A server that is killed and started again under load, many times, leaves nothing with vor.
fn restarts(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = ports::free()?;
    let server = serve(scene, port)?;
    let settings = settings(scene)?;
    scene.observe_printed(&settings, &[server.pid])?;
    scene.probed(1)?;
    let callers = Callers::send(port);
    kill(scene, server)?;
    restart(scene, port, WARM_UP)?;
    let before = at_rest(scene, |_| Ok(()))?;
    restart(scene, port, RESTARTS)?;
    at_rest(scene, |held| same(&before, held))?;
    callers.call_back()?;
    scene.dismiss(&["assemble/unclaimed"])?;
    Ok(Expected::default())
}

/// Starts a server, waits until it is observed at work, and kills it, so many times.
fn restart(scene: &mut Scene<'_>, port: u16, times: usize) -> Result<()> {
    for _ in 0..times {
        let server = serve(scene, port)?;
        let limit = scene.limit();
        let vor = scene.vor()?;
        vor.observes(server.pid, limit)?;
        let seen = vor.printed()?.len();
        scene.printed(seen + 1)?;
        kill(scene, server)?;
    }
    Ok(())
}

fn kill(scene: &mut Scene<'_>, server: Actor) -> Result<()> {
    let limit = scene.limit();
    let program = scene.program(server)?;
    program.signal(Signal::KILL)?;
    program.wait(limit)?;
    Ok(())
}

/// Names what is held more or less than before.
fn same(before: &Held, now: &Held) -> Result<()> {
    let kinds: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    for kind in kinds {
        let (was, is) = (before.get(kind), now.get(kind));
        ensure!(was == is, "{kind}: {was:?} before, {is:?} now");
    }
    Ok(())
}

/// What vor holds once it has let go of all programs, and `wanted` is content with it.
fn at_rest(scene: &mut Scene<'_>, wanted: impl Fn(&Held) -> Result<()>) -> Result<Held> {
    let limit = scene.limit();
    let vor = scene.vor()?;
    let (mut held, mut verdict) = (Held::new(), Ok(()));
    let rest = until("vor at rest", limit, || {
        vor.runs()?;
        let page = vor.own_metrics()?;
        let of_files = |what: &str| {
            let is = |s: &&scrape::Sample| s.label("stage") == "files" && s.label("what") == what;
            page.iter().filter(is).map(|sample| sample.value).sum::<f64>()
        };
        held = vor.held()?;
        let idle = of_files("attached") + of_files("processes") <= exact(0);
        verdict = wanted(&held);
        Ok(idle && verdict.is_ok())
    });
    verdict.and(rest)?;
    Ok(held)
}

/// Clients that nobody observes, each with one call at a time.
struct Callers {
    crew: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Callers {
    fn send(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let [answered, failed] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let caller = || {
            let over = Arc::clone(&over);
            let (answered, failed) = (Arc::clone(&answered), Arc::clone(&failed));
            move || {
                let mut talk = None;
                while !over.load(Ordering::Relaxed) {
                    if call(&mut talk, port).is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        failed.fetch_add(1, Ordering::Relaxed);
                        talk = None;
                    }
                    sleep(PAUSE);
                }
            }
        };
        let crew = (0..CALLERS).map(|_| thread::spawn(caller())).collect();
        Self { crew, over, answered, failed }
    }

    /// Waits until `more` calls have been answered.
    fn wait(&self, more: usize, limit: Duration) -> Result<()> {
        let target = self.answered.load(Ordering::Relaxed) + more;
        until("answers", limit, || Ok(self.answered.load(Ordering::Relaxed) >= target))
    }

    /// How many were answered, and how many failed.
    fn call_back(self) -> Result<(usize, usize)> {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.crew {
            caller.join().ok().context("a caller panicked")?;
        }
        Ok((self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed)))
    }
}

/// One call, on a connection that is opened when there is none.
fn call(talk: &mut Option<Talk>, port: u16) -> Result<()> {
    let mut open = match talk.take() {
        Some(open) => open,
        None => Talk::to(port)?,
    };
    let answer = open.get("/again")?;
    ensure!(answer.status == 200, "status {}", answer.status);
    *talk = Some(open);
    Ok(())
}
