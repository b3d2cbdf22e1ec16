// SPDX-License-Identifier: Apache-2.0
//! `vor exec`: runs a program and observes it and its descendants from its first instruction.
//!
//! vor starts itself as the child, which stops itself; when everything is ready for it, it is let go and becomes
//! the program. So nothing the program does comes before vor sees it.

use std::{
    env, fs,
    io::{self, IsTerminal},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use tokio::signal::unix::{self, SignalKind, signal};
use tracing::{level_filters::LevelFilter, warn};
use vor_export::print::{Output, TracePrinter};

use crate::{
    cli::ExecArgs,
    commands::run::runtime,
    config::{self, LogLevel, no_color},
    log,
    wire::{Agent, Whom},
};

/// Exit codes of shells: the program cannot be run, or is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs the program to its end; its exit code is the result.
pub(crate) fn exec(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    if args.held {
        return hold(args);
    }
    let loaded = config::load(&args.settings)?;
    let mut config = loaded.settings;
    // The terminal belongs to the program: what goes well is not worth a line here.
    log::start(LogLevel(match config.log_level.0 {
        LevelFilter::INFO => LevelFilter::WARN,
        level => level,
    }));
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    config.trace_printer.get_or_insert(TracePrinter::Text);
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let held = Held::start(args)?;
        let whom = Whom::Family { pid: held.child.id(), program: resolved(args) };
        let agent = match Agent::start(&config, &whom, Output::stderr(no_color())) {
            Ok(agent) => agent,
            Err(error) => {
                held.give_up();
                return Err(error);
            }
        };
        let status = held.run(&mut signals).await;
        agent.stop().await;
        Ok(exit_code(status?))
    })
}

/// In the child: stops until it is let go, then becomes the program.
fn hold(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    kill_process(getpid(), Signal::STOP)?;
    let (program, rest) = args.command.split_first().context("no program was given")?;
    let error = Command::new(program).args(rest).exec();
    eprintln!("error: cannot run {}: {error}", program.display());
    let missing = error.kind() == io::ErrorKind::NotFound;
    Ok(ExitCode::from(if missing { NOT_FOUND } else { CANNOT_RUN }))
}

/// The program's file, as the search path finds it.
fn resolved(args: &ExecArgs) -> PathBuf {
    let name = args.command.first().map_or(Path::new(""), Path::new);
    let path = vor_config::environment().into_iter().find(|(name, _)| name == "PATH");
    let path = path.map(|(_, path)| path).unwrap_or_default();
    let found = if name.components().count() > 1 {
        Some(name.to_owned())
    } else {
        env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let file = found.unwrap_or_else(|| name.to_owned());
    fs::canonicalize(&file).unwrap_or(file)
}

/// The child before it is the program.
struct Held {
    child: Child,
    pid: Pid,
}

impl Held {
    fn start(args: &ExecArgs) -> anyhow::Result<Self> {
        let child = Command::new("/proc/self/exe")
            .args(["exec", "--held", "--"])
            .args(&args.command)
            .spawn()
            .context("cannot start a process")?;
        let pid = Pid::from_child(&child);
        waitpid(Some(pid), WaitOptions::UNTRACED).context("the new process did not wait")?;
        Ok(Self { child, pid })
    }

    /// Ends the child before it has become anything.
    fn give_up(mut self) {
        // Neither fails for a child that is stopped and not waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it become the program; passes signals on to it until it ends.
    async fn run(mut self, signals: &mut Signals) -> io::Result<ExitStatus> {
        kill_process(self.pid, Signal::CONT)?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if let Some(signal) = signals.next().await {
                // It may have ended meanwhile, which the next look shows.
                let _ = kill_process(self.pid, signal);
            }
        }
    }
}

/// What is passed on to the program, and the end of children.
struct Signals {
    child: unix::Signal,
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
    /// Ctrl-C and Ctrl-\ of a terminal reach the program by themselves.
    terminal: bool,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            terminal: io::stdin().is_terminal(),
        })
    }

    /// Waits for a signal; gives it if the program is to get it.
    async fn next(&mut self) -> Option<Signal> {
        let typed = |signal| (!self.terminal).then_some(signal);
        tokio::select! {
            _ = self.child.recv() => None,
            _ = self.hangup.recv() => Some(Signal::HUP),
            _ = self.interrupt.recv() => typed(Signal::INT),
            _ = self.quit.recv() => typed(Signal::QUIT),
            _ = self.terminate.recv() => Some(Signal::TERM),
            _ = self.user1.recv() => Some(Signal::USR1),
            _ = self.user2.recv() => Some(Signal::USR2),
        }
    }
}

/// As shells count it: a program that a signal ended has 128 more than the signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
