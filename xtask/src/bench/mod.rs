// SPDX-License-Identifier: Apache-2.0
//! Measurements: what vor costs, written into docs/performance.md and held against ceilings.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{exec, page, page::Table, repo::Repo};

mod footprint;
mod go;
mod kube;
mod kube_cache;
mod large;
mod network;
mod overhead;
mod propagation;
mod truth;

pub(crate) use footprint::{BINARY_BYTES, binary};

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Instructions per request, counted on an emulated processor
    Overhead(overhead::Overhead),
    /// Instructions per packet for network flows, counted on an emulated processor
    Network(network::Network),
    /// Instructions per request for each mode of context propagation, counted in the same way
    Propagation(propagation::Propagation),
    /// Instructions per request of Go programs, and how long probes take to come into a large one
    Go(go::Go),
    /// Start, memory and size, on this machine
    Footprint,
    /// A hundred agents on one `vor kube-cache`, restarted
    KubeCache,
    /// Whether calls are linked to the requests that caused them; into docs/truth.md
    Truth(truth::Truth),
    /// Time, memory and load of following a large Kubernetes cluster
    Kube,
}

pub(crate) fn run(repo: &Repo, what: &Bench) -> Result<bool> {
    exec::run(repo.program("cargo").args(["build", "--release", "--package", "vor"]))?;
    match what {
        Bench::Overhead(wanted) => overhead::run(repo, wanted),
        Bench::Network(wanted) => network::run(repo, wanted),
        Bench::Propagation(wanted) => propagation::run(repo, wanted),
        Bench::Go(wanted) => go::run(repo, wanted),
        Bench::Footprint => footprint::run(repo),
        Bench::Kube => kube::run(repo),
        Bench::KubeCache => kube_cache::run(repo),
        Bench::Truth(wanted) => truth::run(repo, wanted),
    }
}

/// The programs of tests/vm/overhead, compiled.
struct Tools<'a> {
    repo: &'a Repo,
    folder: PathBuf,
}

impl<'a> Tools<'a> {
    fn build(repo: &'a Repo) -> Result<Self> {
        let tools = Self { repo, folder: repo.scratch().join("overhead") };
        fs::create_dir_all(&tools.folder)?;
        tools.compile("gcc", &["-static"], "server.c", "server")?;
        tools.compile("gcc", &["-static"], "load.c", "load")?;
        Ok(tools)
    }

    /// The empty programs of a door and what attaches them.
    fn build_floor(&self, door: &str) -> Result<PathBuf> {
        let object = format!("floor-{door}.o");
        let define = format!("-DDOOR_{}", door.to_uppercase());
        let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
        let bpf = ["-target", "bpf", "-g", "-c", &define, &include];
        self.compile("clang-19", &bpf, "floor.bpf.c", &object)?;
        self.compile("gcc", &["-lbpf"], "attach.c", "attach")?;
        Ok(self.path(&object))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn compile(&self, compiler: &str, flags: &[&str], source: &str, to: &str) -> Result<()> {
        let source = self.repo.root.join("tests/vm/overhead").join(source);
        let mut command = self.repo.program(compiler);
        exec::run(command.args(["-O2", "-o"]).arg(self.path(to)).arg(&source).args(flags))
            .with_context(|| format!("compiling {}", source.display()))
    }
}

/// Rewrites one table of docs/performance.md; columns this run did not measure stay.
fn write(repo: &Repo, part: &str, columns: &[&str], change: impl FnOnce(&mut Table)) -> Result<()> {
    let path = repo.root.join("docs/performance.md");
    let mut table = Table::parse(&page::read(&path, part)?).or(columns);
    change(&mut table);
    page::write(&path, part, &table.render())
}
