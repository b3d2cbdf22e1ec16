// SPDX-License-Identifier: Apache-2.0
//! The ways in which programs hand a request's work on, each with the smallest real program that does so.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::apps::{Apps, find, python};
use crate::shop;

/// How many requests a client asks on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// One: the server closes.
    One,
    /// A few, then a new connection.
    Few,
}

/// One way.
#[derive(Debug)]
pub struct Pattern {
    /// Its name: language, then way.
    pub name: &'static str,
    /// What happens between the request and the call.
    pub about: &'static str,
    needs: &'static [&'static str],
    /// Whether connections are kept.
    pub keep: Keep,
    /// Processes that the server consists of beside the first.
    pub workers: usize,
    /// Whether vor is to have the server, a JVM, load its agent.
    pub agent: bool,
    program: Program,
}

/// The program of a pattern.
#[derive(Debug, Clone, Copy)]
enum Program {
    Built(&'static str),
    Python,
    Node,
    Java(&'static str),
    Puma,
    Php,
    Nginx,
}

impl Pattern {
    const fn new(
        name: &'static str,
        about: &'static str,
        needs: &'static [&'static str],
        program: Program,
    ) -> Self {
        let agent = matches!(program, Program::Java(_));
        Self { name, about, needs, keep: Keep::Few, workers: 0, agent, program }
    }

    const fn closing(self) -> Self {
        Self { keep: Keep::One, ..self }
    }

    const fn alone(self) -> Self {
        Self { agent: false, ..self }
    }

    const fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// What it cannot run without and is not there: a program, found on the path or built, or a module of one.
    #[must_use]
    pub fn missing(&self, apps: &Apps) -> Option<&'static str> {
        let here = |name: &str| match name.split_once(' ') {
            Some((_, module)) => python().is_ok_and(|mut python| {
                python
                    .args(["-c", &format!("import {module}")])
                    .output()
                    .is_ok_and(|out| out.status.success())
            }),
            None => find(name).is_some() || apps.has(name),
        };
        self.needs.iter().find(|name| !here(name)).copied()
    }

    /// Its server: answers `/case/N` on `port` after it has asked `/down/N` on `down`.
    pub fn command(&self, apps: &Apps, dir: &Path, port: u16, down: u16) -> Result<Command> {
        let mut command = match self.program {
            Program::Built(name) => apps.program(name),
            Program::Python => apps.python("truth/server.py")?,
            Program::Node => apps.node("truth/server.js")?,
            Program::Java(name) => java(name, apps)?,
            Program::Puma => return puma(apps, port, down),
            Program::Php => return php(apps, port, down),
            Program::Nginx => return nginx(dir, port, down),
        };
        // What the program calls it: the name without the language.
        let way = self.name.split_once('/').map_or(self.name, |(_, way)| way);
        command.args([way, &port.to_string(), &down.to_string()]);
        Ok(command)
    }
}

const PYTHON: &[&str] = &["python3"];
const AIOHTTP: &[&str] = &["python3 aiohttp"];
const GO: &[&str] = &["truth-go"];
const NODE: &[&str] = &["node"];
const JAVA: &[&str] = &["java", "truth-java/Server.class"];
const JAVA_21: &[&str] = &["truth-java/Server.class", "java-21"];

const C: Program = Program::Built("truth");
const GLIB: Program = Program::Built("truth-glib");
const TRUTH_GO: Program = Program::Built("truth-go");
const TOKIO: Program = Program::Built("truth-tokio");

/// All of them.
pub const ALL: &[Pattern] = &[
    Pattern::new("c/thread", "a thread per connection calls", &[], C),
    Pattern::new("c/pool", "connections go to threads by a condition variable", &[], C),
    Pattern::new("c/hand", "calls go to threads by a condition variable", &[], C),
    Pattern::new("c/epoll", "one thread, many connections", &[], C),
    Pattern::new("c/async-queue", "threads fed by a GAsyncQueue of GLib", &["truth-glib"], GLIB),
    Pattern::new("c/thread-pool", "a GThreadPool of GLib", &["truth-glib"], GLIB),
    Pattern::new(
        "c/leased",
        "threads fed by a GAsyncQueue, connections leased from another",
        &["truth-glib"],
        GLIB,
    ),
    Pattern::new("python/thread", "the handler's thread calls", PYTHON, Program::Python),
    Pattern::new("python/new-thread", "one new thread", PYTHON, Program::Python),
    Pattern::new(
        "python/nested-threads",
        "five threads, each started by the one before",
        PYTHON,
        Program::Python,
    ),
    Pattern::new("python/queue", "threads fed by a queue.Queue", PYTHON, Program::Python),
    Pattern::new(
        "python/two-threads",
        "server and client threads of start-up, a queue between",
        PYTHON,
        Program::Python,
    )
    .closing(),
    Pattern::new("python/executor", "ThreadPoolExecutor", PYTHON, Program::Python),
    Pattern::new("python/asyncio", "the handler's task calls", PYTHON, Program::Python),
    Pattern::new("python/asyncio-tasks", "a task of its own, gathered", PYTHON, Program::Python),
    Pattern::new("python/asyncio-executor", "run_in_executor", PYTHON, Program::Python),
    Pattern::new("python/aiohttp", "aiohttp, server and client", AIOHTTP, Program::Python),
    Pattern::new("go/direct", "the handler calls", GO, TRUTH_GO),
    Pattern::new("go/nested", "five goroutines, each started by the one before", GO, TRUTH_GO),
    Pattern::new("go/unbuffered", "goroutines fed by an unbuffered channel", GO, TRUTH_GO),
    Pattern::new("go/buffered", "goroutines fed by a buffered channel", GO, TRUTH_GO),
    Pattern::new("go/full", "two goroutines fed by a channel whose buffer is full", GO, TRUTH_GO),
    Pattern::new("go/select", "two goroutines fed by a buffered channel, by select", GO, TRUTH_GO),
    Pattern::new("go/two", "two goroutines of start-up, a channel between", GO, TRUTH_GO),
    Pattern::new(
        "go/group",
        "a goroutine that a WaitGroup waits for, as errgroup does",
        GO,
        TRUTH_GO,
    ),
    Pattern::new("node/once", "calls at once", NODE, Program::Node),
    Pattern::new("node/await", "calls after an await", NODE, Program::Node),
    Pattern::new(
        "node/keep-alive",
        "the same by an agent that keeps connections",
        NODE,
        Program::Node,
    ),
    Pattern::new("node/callbacks", "an immediate in a timer", NODE, Program::Node),
    Pattern::new("node/body", "when the request's body has ended", NODE, Program::Node),
    Pattern::new("node/then", "one function for all, by then", NODE, Program::Node),
    Pattern::new("node/all", "Promise.all", NODE, Program::Node),
    Pattern::new("node/cached", "after a promise that many wait for", NODE, Program::Node),
    Pattern::new("node/iterator", "an asynchronous generator calls", NODE, Program::Node),
    Pattern::new("node/queued", "an agent with two connections", NODE, Program::Node),
    Pattern::new("node/fetch", "fetch", NODE, Program::Node),
    Pattern::new("node/storage", "AsyncLocalStorage", NODE, Program::Node),
    Pattern::new("node/collected", "awaits through collections", NODE, Program::Node),
    Pattern::new(
        "node/shared",
        "one connection for all, and the program's own queue",
        NODE,
        Program::Node,
    ),
    Pattern::new("java/executor", "the server's pool thread calls", JAVA, Program::Java("java")),
    Pattern::new("java/pool", "another pool, by submit and get", JAVA, Program::Java("java")),
    Pattern::new("java/queue", "threads fed by a BlockingQueue", JAVA, Program::Java("java")),
    Pattern::new("java/cached", "a pool that grows as needed", JAVA, Program::Java("java")),
    Pattern::new("java/scheduled", "a pool, after a pause", JAVA, Program::Java("java")),
    Pattern::new("java/async", "two steps of a CompletableFuture", JAVA, Program::Java("java")),
    Pattern::new("java/forkjoin", "RecursiveTasks within each other", JAVA, Program::Java("java")),
    Pattern::new("java/shared", "a CompletableFuture for all", JAVA, Program::Java("java")),
    Pattern::new(
        "java/leased",
        "a pool, each with a lease of a queue",
        JAVA,
        Program::Java("java"),
    ),
    Pattern::new("java/virtual", "a virtual thread per request", JAVA_21, Program::Java("java-21")),
    Pattern::new(
        "java/virtual-nested",
        "a virtual thread started by another",
        JAVA_21,
        Program::Java("java-21"),
    ),
    Pattern::new(
        "java/virtual-queue",
        "threads fed by virtual ones, by a BlockingQueue",
        JAVA_21,
        Program::Java("java-21"),
    ),
    Pattern::new("java-alone/pool", "a pool, without the agent", JAVA, Program::Java("java"))
        .alone(),
    Pattern::new("java-alone/scheduled", "the same after a pause", JAVA, Program::Java("java"))
        .alone(),
    Pattern::new("java-alone/forkjoin", "the same of RecursiveTasks", JAVA, Program::Java("java"))
        .alone(),
    Pattern::new("rust/spawn", "tokio, a new task", &["truth-tokio"], TOKIO),
    Pattern::new("rust/mpsc", "tokio, four tasks fed by mpsc channels", &["truth-tokio"], TOKIO),
    Pattern::new("ruby/puma", "Puma, four threads", &["puma"], Program::Puma),
    Pattern::new("php/server", "one request at a time per process", &["php"], Program::Php)
        .closing()
        .workers(4),
    Pattern::new("nginx/proxy", "proxy_pass, two workers", &["nginx"], Program::Nginx).workers(2),
];

fn java(name: &str, apps: &Apps) -> Result<Command> {
    let found = if apps.has(name) { Some(apps.path(name)) } else { find(name) };
    let mut command = Command::new(found.with_context(|| format!("{name} is not installed"))?);
    command.arg("-cp").arg(apps.path("truth-java")).arg("Server");
    Ok(command)
}

fn puma(apps: &Apps, port: u16, down: u16) -> Result<Command> {
    let mut command = Command::new(find("puma").context("puma is not installed")?);
    command.env("DOWN", down.to_string()).args(["-t", "4:4", "-e", "production", "-b"]);
    command.arg(format!("tcp://127.0.0.1:{port}")).arg(apps.path("truth-puma.ru"));
    Ok(command)
}

fn php(apps: &Apps, port: u16, down: u16) -> Result<Command> {
    let mut command = Command::new(find("php").context("php is not installed")?);
    command.env("DOWN", down.to_string()).env("PHP_CLI_SERVER_WORKERS", "4");
    command.arg("-S").arg(format!("127.0.0.1:{port}")).arg(apps.path("truth-server.php"));
    Ok(command)
}

fn nginx(dir: &Path, port: u16, down: u16) -> Result<Command> {
    let block = format!(
        "server {{ listen 127.0.0.1:{port} backlog=1024; \
         location /case/ {{ proxy_pass http://127.0.0.1:{down}/down/; }} }}"
    );
    let command = shop::nginx(dir, &block)?;
    let file = dir.join("nginx.conf");
    let conf = fs::read_to_string(&file)?.replace("worker_processes 1", "worker_processes 2");
    fs::write(file, conf)?;
    Ok(command)
}
