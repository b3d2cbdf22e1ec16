// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask go-offsets`: where fields are in the structs of Go libraries, version by version.
//!
//! Small programs are built by real toolchains with real versions of modules, their DWARF is read, and what is in
//! `structs.txt` becomes `offsets.txt`. What was read of a program is kept in target/go/layouts; programs of the
//! matrix that are there are read, too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use vor_exe::go::{self, Layouts, Version};

use super::{RELEASES, Toolchain, folder, matrix, rows, versions};
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
    /// Measures only what contains one of these, such as grpc@v1.6 or std@; the table has all that is there
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
    let mut toolchains = vec![Toolchain::debian()?];
    for version in RELEASES {
        toolchains.push(Toolchain::release(repo, version)?);
    }
    // Modules are measured by the newest but one: old versions of some do not build with the newest.
    let [.., builder, _] = toolchains.as_slice() else { return Ok(false) };
    for go in &toolchains {
        measure(go, &kept, &Subject { module: None, program: STANDARD }, &args.only)?;
    }
    for (module, floor, program) in MODULES {
        let floor: Version = floor.parse()?;
        for version in versions(builder, &kept, module, floor)? {
            let subject = Subject { module: Some((module, version)), program };
            // A version that does not build today is left out; its neighbours speak for it.
            if let Err(error) = measure(builder, &kept, &subject, &args.only) {
                say(format!("left out: {error:#}"));
            }
        }
    }
    let mut all = read(&kept)?;
    for program in matrix::unstripped(repo) {
        all.push(layouts(&program, None)?);
    }
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

fn measure(go: &Toolchain, kept: &Path, subject: &Subject, only: &[String]) -> Result<()> {
    let name = match &subject.module {
        Some((module, version)) => format!("{}@{version}", module.replace('/', "_")),
        None => format!("std@{}", go.version),
    };
    let file = kept.join(format!("{name}.json"));
    let wanted = only.is_empty() || only.iter().any(|only| name.contains(only.as_str()));
    if file.is_file() || !wanted {
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
