// SPDX-License-Identifier: Apache-2.0
//! How long probes take to come into a Go program of 100 MB, and into a second process of it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::write;
use crate::{
    exec::{self, say},
    golang::{Toolchain, folder},
    repo::Repo,
};

/// So many packages with so many functions each; what is missing to 100 MB is data.
const PACKAGES: usize = 40;
const FUNCTIONS: usize = 400;
const BYTES: u64 = 100 << 20;
/// Ceilings in milliseconds.
const FIRST: f64 = 300.0;
const SECOND: f64 = 5.0;
const LIMIT: Duration = Duration::from_secs(120);

const COLUMNS: &[&str] = &["", "vor", "ceiling"];

mod rows {
    pub(super) const SIZE: &str = "the program, stripped";
    pub(super) const READ: &str = "reading it";
    pub(super) const ATTACHED: &str = "attaching, all units there";
    pub(super) const FIRST: &str = "**first process, both together**";
    pub(super) const LOADED: &str =
        "… of the first Go program since vor began, whose units are loaded too";
    pub(super) const SECOND: &str = "**second process**";
    pub(super) const MADE: &str = "kernel, date, commit";
}

/// Measures, writes the table, and says whether vor stays below the ceilings.
pub(super) fn run(repo: &Repo, go: &Toolchain) -> Result<bool> {
    let program = build(repo, go)?.canonicalize()?;
    let log = folder(repo).join("large/vor.log");
    let settings = folder(repo).join("large/vor.yml");
    let pattern = format!("discovery:\n  services:\n    - exe_path: '^{}$'\n", program.display());
    fs::write(&settings, pattern)?;
    let first = Running::server(&program)?;
    let mut vor = repo.program(&repo.release("vor").to_string_lossy());
    vor.env("BEYLA_CONFIG_PATH", &settings).env("BEYLA_LOG_LEVEL", "DEBUG");
    let vor = vor.env("BEYLA_TRACE_PRINTER", "text").stdout(Stdio::null());
    let _vor = Running(vor.stderr(File::create(&log)?).spawn().context("starting vor")?);
    let path = program.display().to_string();
    let read = took(&log, &["looked at", &path])?;
    let attached = took(&log, &["attached", "places=", &path])?;
    let loaded = took(&log, &["code probed", &format!("pid={} ", first.0.id())])?;
    let other = Running::server(&program)?;
    let second = took(&log, &["code probed", &format!("pid={} ", other.0.id())])?;
    let release = exec::text(repo.program("uname").arg("-r"))?;
    let made = format!("{}, {}, {}", release.trim(), repo.date()?, repo.commit()?);
    let size = fs::metadata(&program)?.len() >> 20;
    write(repo, "go-attach", COLUMNS, |table| {
        table.set(rows::SIZE, "vor", &format!("{size} MiB"));
        table.set(rows::READ, "vor", &format!("{read:.1} ms"));
        table.set(rows::ATTACHED, "vor", &format!("{attached:.1} ms"));
        table.set(rows::FIRST, "vor", &format!("{:.1} ms", read + attached));
        table.set(rows::FIRST, "ceiling", &format!("{FIRST:.0} ms"));
        table.set(rows::LOADED, "vor", &format!("{loaded:.1} ms"));
        table.set(rows::SECOND, "vor", &format!("{second:.2} ms"));
        table.set(rows::SECOND, "ceiling", &format!("{SECOND:.0} ms"));
        table.set(rows::MADE, "vor", &made);
    })?;
    say(format_args!("first process {:.1} ms, second {second:.2} ms", read + attached));
    Ok(read + attached < FIRST && second < SECOND)
}

/// A process that ends with its value.
struct Running(Child);

impl Running {
    fn server(program: &Path) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        let server = Self(command.arg(port.to_string()).spawn().context("starting the program")?);
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(start.elapsed() < LIMIT, "the program does not listen");
            sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The milliseconds that vor's log names in the first line with all of these words.
fn took(log: &Path, words: &[&str]) -> Result<f64> {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(log)?;
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        if let Some(line) = whole.lines().find(|line| words.iter().all(|word| line.contains(word)))
        {
            let time = line.split("took=").nth(1).and_then(|rest| rest.split(' ').next());
            return milliseconds(time.unwrap_or_default()).with_context(|| line.to_owned());
        }
        if start.elapsed() > LIMIT {
            bail!("vor did not say {words:?}; see {}", log.display());
        }
        sleep(Duration::from_millis(20));
    }
}

/// Of a `Duration` as Rust shows it: `1.5ms`, `310µs`, `2s`.
fn milliseconds(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.get(number.len()..)? {
        "s" => 1e3,
        "ms" => 1.0,
        "µs" => 1e-3,
        "ns" => 1e-6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

/// Builds the program, once.
fn build(repo: &Repo, go: &Toolchain) -> Result<PathBuf> {
    let dir = folder(repo).join("large");
    let program = dir.join("program");
    if program.is_file() {
        return Ok(program);
    }
    say("building a large Go program");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("go.mod"), "module example.org/large\n\ngo 1.21\n")?;
    fs::copy(repo.root.join("tests/vm/overhead/hello.go"), dir.join("hello.go"))?;
    let mut uses = String::from("package main\n\nimport (\n\t_ \"embed\"\n");
    for package in 0..PACKAGES {
        let name = format!("p{package}");
        fs::create_dir_all(dir.join(&name))?;
        fs::write(dir.join(&name).join("code.go"), functions(&name)?)?;
        writeln!(uses, "\t\"example.org/large/{name}\"")?;
    }
    uses += ")\n\n//go:embed data\nvar data string\n\nfunc init() {\n\tif len(data) == 1 {\n";
    for package in 0..PACKAGES {
        writeln!(uses, "\t\tprintln(p{package}.All(data))")?;
    }
    uses += "\t}\n}\n";
    fs::write(dir.join("uses.go"), uses)?;
    // Once without data, to see how much is missing.
    let mut missing = 0;
    for _ in 0..2 {
        File::create(dir.join("data"))?.set_len(missing)?;
        let mut command = go.command(&dir);
        exec::run(command.args(["build", "-ldflags", "-s -w", "-o", "part", "."]))?;
        missing = BYTES.saturating_sub(fs::metadata(dir.join("part"))?.len());
    }
    fs::rename(dir.join("part"), &program)?;
    Ok(program)
}

/// A package of functions that no compiler can leave out.
fn functions(package: &str) -> Result<String> {
    let mut code = format!("package {package}\n\nimport \"strings\"\n\n");
    for function in 0..FUNCTIONS {
        writeln!(code, "//go:noinline\nfunc f{function}(s string, n int) int {{")?;
        for step in 1..12 {
            let letter = char::from(b'a' + u8::try_from(step)?);
            writeln!(code, "\tif strings.Contains(s, \"{letter}{function}\") {{")?;
            writeln!(code, "\t\tn = n*{step} + strings.Count(s, \"{letter}\")\n\t}}")?;
        }
        code += "\treturn n\n}\n\n";
    }
    code += "// All calls all of them.\nfunc All(s string) int {\n\tn := 0\n";
    for function in 0..FUNCTIONS {
        writeln!(code, "\tn += f{function}(s, n)")?;
    }
    code += "\treturn n\n}\n";
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_log_are_read() {
        assert_eq!(milliseconds("1.5ms"), Some(1.5));
        assert_eq!(milliseconds("250µs"), Some(0.25));
        assert_eq!(milliseconds("2s"), Some(2000.0));
        assert_eq!(milliseconds("soon"), None);
    }
}
