// SPDX-License-Identifier: Apache-2.0
//! `bench kube-cache`: a hundred agents on one shared cache, restarted; natively, over loopback.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::write;
use crate::{exec, exec::say, repo::Repo};

/// Of a thousand objects told at first, so many may be told again after a restart.
const TOLD_AGAIN: u64 = 20;
const TOLD_AGAIN_ROW: &str = "told again, of everything";

pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let mut bench = repo.program("cargo");
    // In the profile of tests: the agents are not what is measured, the cache is a release.
    bench.args(["test", "--package", "vor-enrich", "--bench", "kube_cache", "--", "--vor"]);
    let mut figures = Vec::new();
    let status = exec::lines(bench.arg(repo.release("vor")), |line| {
        if let Some((what, figure)) = line.split_once('\t') {
            say(format_args!("{what}: {figure}"));
            figures.push((what.to_owned(), figure.to_owned()));
        }
    })?;
    ensure!(status.success(), "the measurement failed: {status}");
    let release = exec::text(repo.program("uname").arg("-r"))?;
    let made = format!("{}, {}, {}", release.trim(), repo.date()?, repo.commit()?);
    figures.push(("kernel, date, commit".to_owned(), made));
    let ceilings = BTreeMap::from([(TOLD_AGAIN_ROW, format!("{TOLD_AGAIN} ‰"))]);
    write(repo, "kube-cache", &["", "vor kube-cache", "ceiling"], |table| {
        for (row, figure) in &figures {
            table.set(row, "vor kube-cache", figure);
            let ceiling = ceilings.get(row.as_str()).map_or("", String::as_str);
            table.set(row, "ceiling", ceiling);
        }
    })?;
    let again =
        figures.iter().find(|(row, _)| row == TOLD_AGAIN_ROW).context("a row is missing")?;
    let again: u64 = again.1.trim_end_matches(" ‰").parse().context("reading the figure")?;
    Ok(again <= TOLD_AGAIN)
}
