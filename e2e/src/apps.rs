// SPDX-License-Identifier: Apache-2.0
//! The programs that are observed: where they are, and how those that need a compiler are built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/apps");
const C: [(&str, &str); 5] = [
    ("epoll", "c/epoll.c"),
    ("prefork", "c/prefork.c"),
    ("uring", "c/uring.c"),
    ("ways", "c/ways.c"),
    ("truth", "truth/truth.c"),
];
/// Programs that need a library, by its name for pkg-config.
const C_WITH: [(&str, &str, &str); 1] = [("truth-glib", "truth/glib.c", "glib-2.0")];
const GO: [(&str, &str); 3] =
    [("web", "go/web.go"), ("stock", "shop/stock/stock.go"), ("truth-go", "truth/go/truth.go")];
/// Go programs with modules of others, which are fetched once.
const GO_MODULES: [(&str, &str); 2] = [("prices", "shop/prices"), ("wire", "go/wire")];
const JAVA: [(&str, &str); 1] = [("truth-java", "truth/Server.java")];
const RUST: &str = "truth-tokio";
const SCRIPTS: [&str; 17] = [
    "python/connections.py",
    "python/datagrams.py",
    "python/front.py",
    "python/late.py",
    "python/mixed.py",
    "python/options.py",
    "python/sdk.py",
    "python/server.py",
    "python/threads.py",
    "node/server.js",
    "node/client.js",
    "shop/orders.py",
    "shop/catalog.js",
    "truth/puma.ru",
    "truth/server.js",
    "truth/server.php",
    "truth/server.py",
];

/// A folder with all of them.
#[derive(Debug, Clone)]
pub struct Apps {
    dir: PathBuf,
}

impl Apps {
    /// Takes what an earlier `build` put into `dir`.
    pub fn at(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("opening {}", dir.display()))?;
        ensure!(dir.join("epoll").is_file(), "{} holds no built programs", dir.display());
        Ok(Self { dir })
    }

    /// Builds everything into `dir`. Programs in a language that has no compiler here are left
    /// out.
    pub fn build(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let sources = Path::new(SOURCES);
        for (name, source) in C {
            run(&mut cc(&sources.join(source), &dir.join(name)))?;
        }
        for (name, source, library) in C_WITH {
            let Some(flags) = flags_of(library) else { continue };
            run(cc(&sources.join(source), &dir.join(name)).args(flags.split_whitespace()))?;
        }
        for (name, source) in GO {
            if find("go").is_none() {
                continue;
            }
            let mut go = Command::new("go");
            go.env("GO111MODULE", "off").env("CGO_ENABLED", "0").args(["build", "-o"]);
            run(go.arg(dir.join(name)).arg(sources.join(source)))?;
        }
        for (name, folder) in GO_MODULES {
            if find("go").is_none() {
                continue;
            }
            let mut go = Command::new("go");
            go.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").args(["build", "-o"]);
            let to = dir.canonicalize()?.join(name);
            let built = run(go.arg(to).arg(".").current_dir(sources.join(folder)));
            if let Err(error) = built {
                eprintln!("left out, because its modules are not to be had: {name}: {error:#}");
            }
        }
        for (classes, source) in JAVA {
            if find("javac").is_none() {
                continue;
            }
            let mut javac = Command::new("javac");
            run(javac.arg("-d").arg(dir.join(classes)).arg(sources.join(source)))?;
        }
        // Cargo has built it beside this program.
        let own = std::env::current_exe()?.with_file_name(RUST);
        if own.is_file() {
            fs::copy(&own, dir.join(RUST)).with_context(|| format!("copying {RUST}"))?;
        }
        for script in SCRIPTS {
            let name = Path::new(script);
            let to = dir.join(script.replace('/', "-"));
            fs::copy(sources.join(name), &to).with_context(|| format!("copying {script}"))?;
        }
        Self::at(dir)
    }

    /// Something that was built or copied.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A built program.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.dir.join(name))
    }

    /// Whether a built program exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.dir.join(name).is_file()
    }

    /// A script, run by `python3`.
    pub fn python(&self, script: &str) -> Result<Command> {
        let mut command = python()?;
        command.arg(self.dir.join(script.replace('/', "-")));
        Ok(command)
    }

    /// A script, run by `node`.
    pub fn node(&self, script: &str) -> Result<Command> {
        let mut command = Command::new(find("node").context("node is not installed")?);
        command.arg(self.dir.join(script.replace('/', "-")));
        Ok(command)
    }
}

/// The Python interpreter itself: what is first on the path may be a script that looks for it.
pub fn python() -> Result<Command> {
    let system = Path::new("/usr/bin/python3");
    if system.exists() {
        return Ok(Command::new(system));
    }
    let ask = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let said = String::from_utf8(ask.context("python3 is not installed")?.stdout)?;
    Ok(Command::new(said.trim()))
}

/// Where the shell would find `program`.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&places)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|place| place.join(program))
        .find(|path| path.is_file())
}

fn cc(source: &Path, to: &Path) -> Command {
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]).arg(to).arg(source);
    cc
}

/// What a C compiler needs to know of a library. `None`: it is not installed.
fn flags_of(library: &str) -> Option<String> {
    let asked = Command::new("pkg-config").args(["--cflags", "--libs", library]).output().ok()?;
    asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).into_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
