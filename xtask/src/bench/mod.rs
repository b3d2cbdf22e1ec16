// SPDX-License-Identifier: Apache-2.0
//! Measurements: what vor costs, written into docs/performance.md and held against ceilings.

use anyhow::Result;
use clap::Subcommand;

use crate::repo::Repo;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Instructions per request, counted on an emulated processor
    Overhead,
}

pub(crate) fn run(_repo: &Repo, what: &Bench) -> Result<bool> {
    match what {
        Bench::Overhead => anyhow::bail!("not measured yet"),
    }
}
