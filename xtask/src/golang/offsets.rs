// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask go-offsets`: where fields are in the structs of Go libraries, version by version.
//!
//! Small programs are built by real toolchains with real versions of modules, their DWARF is read, and what is in
//! `structs.txt` becomes `offsets.txt`. What was read of a program is kept in target/go/layouts; programs of the
//! matrix that are there are read, too. Of versions that were not read the table keeps what it has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use vor_exe::go::{self, Layouts};

use super::{DEBIAN, RELEASES, Toolchain, folder, matrix, rows, versions};
use crate::{
    exec::{self, say},
    repo::Repo,
};

/// Modules, the oldest version that is measured, and the program that links them in.
const MODULES: &[(&str, &str, &str)] = &[
    ("github.com/redis/go-redis/v9", "9.0.0", include_str!("programs/redis.go")),
    ("github.com/segmentio/kafka-go", "0.4.0", include_str!("programs/kafka.go")),
    ("github.com/Shopify/sarama", "1.30.0", include_str!("programs/shopify.go")),
    ("github.com/IBM/sarama", "1.40.0", include_str!("programs/ibm.go")),
    ("golang.org/x/net", "0.1.0", include_str!("programs/net.go")),
    ("google.golang.org/grpc", "1.40.0", include_str!("programs/grpc.go")),
];
const STANDARD: &str = include_str!("programs/std.go");
const WANTED: &str = "crates/exe/src/go/structs.txt";
const TABLE: &str = "crates/exe/src/go/offsets.txt";

#[derive(Args)]
pub(crate) struct OffsetsArgs {
    /// Measures only what contains one of these, such as grpc@v1.6 or std@; the table has all that was measured
    #[arg(long)]
    only: Vec<String>,
}

/// What was read of one program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    /// The toolchain's version, where the standard library was measured.
    pub standard: Option<String>,
    /// Modules that are linked in, and their versions.
    pub modules: Vec<(String, String)>,
    pub layouts: Layouts,
}

pub(crate) fn run(repo: &Repo, args: &OffsetsArgs) -> Result<bool> {
    let kept = folder(repo).join("layouts");
    fs::create_dir_all(&kept)?;
    let wanted = |name: &str| {
        args.only.is_empty() || args.only.iter().any(|only| name.contains(only.as_str()))
    };
    if wanted(&name(None, DEBIAN.0)) {
        measure(&Toolchain::debian()?, &kept, &Subject { module: None, program: STANDARD })?;
    }
    for version in RELEASES.iter().filter(|version| wanted(&name(None, version))) {
        let go = Toolchain::release(repo, version)?;
        measure(&go, &kept, &Subject { module: None, program: STANDARD })?;
    }
    // Modules are measured by the newest but one: with the newest, old versions of some do not build, and new ones
    // of x/net leave HTTP/2 to net/http.
    let [.., builder, _] = RELEASES else { return Ok(false) };
    let builder = Toolchain::release(repo, builder)?;
    for (module, floor, program) in MODULES {
        let versions = versions(&builder, &kept, module, floor.parse()?)?;
        for version in versions.into_iter().filter(|version| wanted(&name(Some(module), version))) {
            let subject = Subject { module: Some((module, version)), program };
            // A version that does not build today is left out; its neighbours speak for it.
            if let Err(error) = measure(&builder, &kept, &subject) {
                say(format!("left out: {error:#}"));
            }
        }
    }
    let table = fs::read_to_string(repo.root.join(TABLE))?;
    let mut all = rows::known(&table)?;
    for program in matrix::unstripped(repo) {
        all.push(layouts(&program, None)?);
    }
    all.extend(read(&kept)?);
    let list = fs::read_to_string(repo.root.join(WANTED))?;
    fs::write(repo.root.join(TABLE), rows::table(&list, &all)?)?;
    say(format!("{TABLE}: made of {} programs", all.len()));
    Ok(true)
}

/// What is built and read.
struct Subject {
    module: Option<(&'static str, String)>,
    program: &'static str,
}

/// What a version of a module, or of the standard library, is called here.
fn name(module: Option<&str>, version: &str) -> String {
    match module {
        Some(module) => format!("{}@{version}", module.replace('/', "_")),
        None => format!("std@{version}"),
    }
}

fn measure(go: &Toolchain, kept: &Path, subject: &Subject) -> Result<()> {
    let name = match &subject.module {
        Some((module, version)) => name(Some(module), version),
        None => name(None, &go.version),
    };
    let file = kept.join(format!("{name}.json"));
    if file.is_file() {
        return Ok(());
    }
    say(format!("measuring {name}"));
    let dir = tempfile::tempdir()?;
    let program = build(go, dir.path(), subject).with_context(|| format!("building {name}"))?;
    let standard = subject.module.is_none().then(|| go.version.clone());
    let measured = layouts(&program, standard)?;
    if let Some((module, version)) = &subject.module {
        let linked =
            measured.modules.iter().any(|(path, linked)| path == module && linked == version);
        ensure!(linked, "{name}: another version is linked in");
    }
    fs::write(&file, serde_json::to_string(&measured)?)?;
    Ok(())
}

/// What a program's debug information tells.
fn layouts(program: &Path, standard: Option<String>) -> Result<Measured> {
    // Types without a name of their own are of no use to anybody.
    let (build, layouts) = go::layouts(program, |of| !of.contains(['{', '[', '<']))?;
    let modules = build.modules.into_iter().map(|module| (module.path, module.version)).collect();
    Ok(Measured { standard, modules, layouts })
}

fn build(go: &Toolchain, dir: &Path, subject: &Subject) -> Result<PathBuf> {
    fs::write(dir.join("main.go"), subject.program)?;
    fs::write(dir.join("go.mod"), "module example.org/offsets\n\ngo 1.18\n")?;
    if let Some((module, version)) = &subject.module {
        exec::run(go.command(dir).args(["get", &format!("{module}@{version}")]))?;
        exec::run(go.command(dir).args(["mod", "tidy"]))?;
    }
    let build = || exec::run(go.command(dir).args(["build", "-o", "program", "."]));
    if build().is_err() {
        // Versions of x/sys before 2022 do not build with today's toolchains.
        exec::run(go.command(dir).args(["get", "golang.org/x/sys@v0.20.0"]))?;
        build()?;
    }
    Ok(dir.join("program"))
}

fn read(kept: &Path) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(kept)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let measured = serde_json::from_str(&text);
        all.push(measured.with_context(|| format!("reading {}", path.display()))?);
    }
    Ok(all)
}
