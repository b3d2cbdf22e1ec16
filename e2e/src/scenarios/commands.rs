// SPDX-License-Identifier: Apache-2.0
//! What the command line promises: exit codes, messages, `vor exec`, `vor check`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::printed;
use crate::scenario::{Expected, Scenario};
use crate::scene::{Actor, Scene};
use crate::until::until;
use crate::vor::Settings;
use crate::web::Origin;

/// Exit code of wrong usage, wrong settings, and of a machine that does not allow what is asked.
const REFUSED: i32 = 2;

pub(super) fn list() -> Vec<Scenario> {
    vec![
        Scenario::new("exec-prints-spans", exec_prints).needs(&["curl"]).smoke(),
        Scenario::new("exec-short-lived", exec_short_lived).needs(&["curl"]).smoke(),
        Scenario::new("exec-passes-exit-code", exec_exit_code),
        Scenario::new("exec-passes-signals", exec_signals),
        Scenario::new("check", check).smoke(),
        Scenario::new("unknown-key", unknown_key).smoke(),
        Scenario::new("without-root", without_root).needs(&["setpriv"]).smoke(),
        Scenario::new("without-btf", without_btf).needs(&["unshare"]).smoke(),
        Scenario::new("closed-doors", closed_doors),
    ]
}

/// Starts `vor` with arguments.
fn vor(scene: &mut Scene<'_>, args: &[&str]) -> Result<Actor> {
    let mut settings = Settings::default();
    if let Some(door) = scene.world.door {
        settings = settings.with("VOR_DOOR", door.as_str());
    }
    let mut command = settings.command(&scene.world.vor);
    command.args(args);
    scene.start(command)
}

/// Waits for its end: exit code, standard output, standard error.
fn ended(scene: &mut Scene<'_>, actor: Actor) -> Result<(Option<i32>, String, String)> {
    let limit = scene.limit();
    let program = scene.program(actor)?;
    let status = program.wait(limit)?;
    Ok((status.code(), program.stdout()?, program.stderr()?))
}

fn exec_prints(scene: &mut Scene<'_>) -> Result<Expected> {
    let origin = Origin::start()?;
    let url = format!("http://127.0.0.1:{}/from/exec", origin.port);
    let actor = vor(scene, &["exec", "--", "curl", "-sS", &url])?;
    let (code, out, err) = ended(scene, actor)?;
    ensure!(code == Some(0), "it ended with {code:?}: {err}");
    ensure!(out == "origin\n", "standard output is the command's, not {out:?}");
    let spans: Vec<_> = err.lines().filter_map(|line| printed::parse(line).ok()).collect();
    let seen: Vec<_> = spans.iter().map(|s| (s.label.as_str(), s.object.as_str())).collect();
    ensure!(seen == [("HTTPClient", "/from/exec")], "{seen:?} in {err}");
    Ok(Expected::default())
}

/// Programs that have ended before anybody could look at them: what they said is theirs.
fn exec_short_lived(scene: &mut Scene<'_>) -> Result<Expected> {
    const CALLS: usize = 10;
    let origin = Origin::start()?;
    let call = format!("curl -sS http://127.0.0.1:{}/from/exec;", origin.port);
    let actor = vor(scene, &["exec", "--", "sh", "-c", &call.repeat(CALLS)])?;
    let (code, out, err) = ended(scene, actor)?;
    ensure!(code == Some(0), "it ended with {code:?}: {err}");
    ensure!(out == "origin\n".repeat(CALLS), "the command said {out:?}");
    let spans: Vec<_> = err.lines().filter_map(|line| printed::parse(line).ok()).collect();
    let services: Vec<_> = spans.iter().map(|span| span.service.as_str()).collect();
    ensure!(services == ["curl"; CALLS], "{services:?} in {err}");
    Ok(Expected::default())
}

fn exec_exit_code(scene: &mut Scene<'_>) -> Result<Expected> {
    for code in [0, 7] {
        let actor = vor(scene, &["exec", "--", "sh", "-c", &format!("exit {code}")])?;
        let (got, _, err) = ended(scene, actor)?;
        ensure!(got == Some(code), "the command ended with {code}, vor with {got:?}: {err}");
    }
    Ok(Expected::default())
}

fn exec_signals(scene: &mut Scene<'_>) -> Result<Expected> {
    let script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let actor = vor(scene, &["exec", "sh", "-c", script])?;
    let limit = scene.limit();
    let program = scene.program(actor)?;
    until("the command runs", limit, || Ok(program.stdout()?.contains("ready")))?;
    program.signal(Signal::TERM)?;
    let (code, out, err) = ended(scene, actor)?;
    ensure!(out.contains("got it"), "the signal did not arrive: {err}");
    ensure!(code == Some(9), "vor ended with {code:?}");
    Ok(Expected::default())
}

fn check(scene: &mut Scene<'_>) -> Result<Expected> {
    let actor = vor(scene, &["check"])?;
    let (code, out, err) = ended(scene, actor)?;
    ensure!(code == Some(0), "it ended with {code:?}: {out}{err}");
    let door = scene.world.door.map_or("syscall", crate::scenario::Door::as_str);
    ensure!(out.contains(door), "it does not name the door {door}: {out}");
    let actor = vor(scene, &["check", "--json"])?;
    let (code, out, err) = ended(scene, actor)?;
    ensure!(code == Some(0), "with --json it ended with {code:?}: {err}");
    let report: serde_json::Value = serde_json::from_str(&out).context("it is not JSON")?;
    ensure!(report.is_object(), "it is not an object");
    Ok(Expected::default())
}

fn unknown_key(scene: &mut Scene<'_>) -> Result<Expected> {
    let file = scene.dir().join("wrong.yml");
    fs::write(&file, "open_prot: 8080\n")?;
    let actor = vor(scene, &["run", "--config", &file.to_string_lossy()])?;
    let (code, _, err) = ended(scene, actor)?;
    ensure!(code == Some(REFUSED), "it ended with {code:?}: {err}");
    for word in ["open_prot", "open_port", "wrong.yml"] {
        ensure!(err.contains(word), "the message does not contain {word}: {err}");
    }
    Ok(Expected::default())
}

fn without_root(scene: &mut Scene<'_>) -> Result<Expected> {
    // Nobody may look into every folder above vor.
    let copy = scene.dir().join("vor");
    fs::copy(&scene.world.vor, &copy)?;
    fs::set_permissions(scene.dir(), fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
    command.args(["--inh-caps=-all", "--no-new-privs"]).arg(&copy).arg("run");
    command.env("BEYLA_OPEN_PORT", "8080").env("BEYLA_TRACE_PRINTER", "text");
    let actor = scene.start(command)?;
    let (code, _, err) = ended(scene, actor)?;
    ensure!(code == Some(REFUSED), "it ended with {code:?}: {err}");
    let says = err.to_lowercase();
    ensure!(
        says.contains("root") || says.contains("cap_"),
        "it does not say what is missing: {err}"
    );
    Ok(Expected::default())
}

fn without_btf(scene: &mut Scene<'_>) -> Result<Expected> {
    let empty = scene.dir().join("btf");
    fs::create_dir(&empty)?;
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /sys/kernel/btf && exec \"$1\" run --open-port 8080";
    command.args(["--mount", "sh", "-c", script]).arg(&empty).arg(&scene.world.vor);
    let actor = scene.start(command)?;
    let (code, _, err) = ended(scene, actor)?;
    ensure!(code == Some(REFUSED), "it ended with {code:?}: {err}");
    ensure!(err.contains("CONFIG_DEBUG_INFO_BTF"), "it does not say what is missing: {err}");
    Ok(Expected::default())
}

/// What `vor check` calls closed, `vor run` refuses with the reason.
fn closed_doors(scene: &mut Scene<'_>) -> Result<Expected> {
    for door in ["fentry", "kprobe", "syscall"] {
        let command = |verb: &[&str]| {
            let mut command = Settings::default().command(&scene.world.vor);
            command.args(verb).args(["--door", door]);
            command
        };
        let (check, run) = (command(&["check"]), command(&["run", "--open-port", "8080"]));
        let actor = scene.start(check)?;
        let (code, ..) = ended(scene, actor)?;
        if code != Some(REFUSED) {
            continue;
        }
        let actor = scene.start(run)?;
        let (code, _, err) = ended(scene, actor)?;
        ensure!(code == Some(REFUSED), "run --door {door} ended with {code:?}: {err}");
        let says = err.contains("no door") && err.contains(door) && err.contains("vor check");
        ensure!(says, "it does not say why {door} is closed: {err}");
    }
    Ok(Expected::default())
}
