// SPDX-License-Identifier: Apache-2.0
//! What ran where: the lines of the end-to-end runner in, a column of docs/testing.md and sums out.

use anyhow::Result;

use crate::{
    page::{self, Table},
    repo::Repo,
    tally::{Outcome, Tally},
};

/// One run of the scenarios on one kernel through one door.
pub(crate) struct Run {
    /// The column: kernel's short name and door.
    column: String,
    release: String,
    commit: String,
    date: String,
    outcomes: Vec<(String, Outcome)>,
    closed: bool,
}

impl Run {
    pub(crate) fn new(repo: &Repo, kernel: &str, release: &str, door: &str) -> Result<Self> {
        Ok(Self {
            column: format!("{kernel} {door}"),
            release: release.to_owned(),
            commit: repo.commit()?,
            date: repo.date()?,
            outcomes: Vec::new(),
            closed: false,
        })
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.outcomes.extend(Outcome::of_scenario(line));
        self.closed |= line.contains(" passed, ") && line.ends_with(" skipped");
    }

    /// A runner that ended early, or whose exit code says what its lines do not, is a failure.
    pub(crate) fn ended(&mut self, code: i32) {
        let failed = self.outcomes.iter().any(|(_, o)| matches!(o, Outcome::Failed(_)));
        let why = if !self.closed {
            format!("ended without a closing line, exit code {code}")
        } else if code != 0 && !failed {
            format!("exit code {code} although nothing failed")
        } else {
            return;
        };
        self.outcomes.push(("the runner itself".to_owned(), Outcome::Failed(why)));
    }

    pub(crate) fn count(self, tally: &mut Tally) {
        for (name, outcome) in self.outcomes {
            tally.note(format!("{name} [{}]", self.column), outcome);
        }
    }

    /// Writes this run's row and column; those of other runs stay.
    pub(crate) fn write(&self, repo: &Repo) -> Result<()> {
        let page = repo.root.join("docs/testing.md");
        let mut runs = Table::parse(&page::read(&page, "runs")?).or(&["run"]);
        let sum = |word| self.outcomes.iter().filter(|(_, o)| o.word() == word).count().to_string();
        for (column, value) in [
            ("kernel", self.release.clone()),
            ("date", self.date.clone()),
            ("commit", self.commit.clone()),
            ("ok", sum("ok")),
            ("failed", sum("failed")),
            ("skipped", sum("skipped")),
        ] {
            runs.set(&self.column, column, &value);
        }
        page::write(&page, "runs", &runs.render())?;

        let mut scenarios = Table::parse(&page::read(&page, "scenarios")?).or(&["scenario"]);
        scenarios.clear(&self.column);
        for (name, outcome) in &self.outcomes {
            scenarios.set(name, &self.column, outcome.word());
        }
        page::write(&page, "scenarios", &scenarios.render())
    }
}
