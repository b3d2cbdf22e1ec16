// SPDX-License-Identifier: Apache-2.0
//! Counting what passed, failed and was skipped; each failure and each skip has a name and a reason.

use crate::exec::say;

/// What a skip for want of privileges means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skips {
    /// A developer's machine: it is named and counted.
    Count,
    /// CI: the machine must be able to run everything.
    Fail,
}

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    /// A line of the end-to-end runner: `ok NAME (1.2 s)`, `FAILED NAME: why`, `skipped NAME: why`.
    pub(crate) fn of_scenario(line: &str) -> Option<(String, Self)> {
        if let Some(rest) = line.strip_prefix("ok ") {
            let name = rest.split_once(" (").map_or(rest, |(name, _)| name);
            return Some((name.to_owned(), Self::Passed));
        }
        if let Some(rest) = line.strip_prefix("FAILED ") {
            let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
            return Some((name.to_owned(), Self::Failed(why.to_owned())));
        }
        let rest = line.strip_prefix("skipped ")?;
        let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
        Some((name.to_owned(), Self::Skipped(why.to_owned())))
    }

    /// One word for a table.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// The sums of a run.
#[derive(Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: Vec<String>,
    skipped: Vec<(String, String)>,
}

impl Tally {
    pub(crate) fn pass(&mut self, tests: u64) {
        self.passed += tests;
    }

    pub(crate) fn fail(&mut self, name: impl Into<String>) {
        self.failed.push(name.into());
    }

    pub(crate) fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.skipped.push((name.into(), why.into()));
    }

    pub(crate) fn note(&mut self, name: String, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.pass(1),
            Outcome::Failed(why) => self.fail(format!("{name}: {why}")),
            Outcome::Skipped(why) => self.skip(name, why),
        }
    }

    /// Names what did not pass, ends with the sums; true if nothing failed.
    pub(crate) fn close(mut self, skips: Skips) -> bool {
        self.settle(skips);
        for (name, why) in &self.skipped {
            say(format_args!("skipped {name}: {why}"));
        }
        for failed in &self.failed {
            say(format_args!("FAILED {failed}"));
        }
        say(format_args!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        ));
        self.failed.is_empty()
    }

    /// Makes failures of the skips that are none here.
    fn settle(&mut self, skips: Skips) {
        if skips == Skips::Fail {
            for (name, why) in self.skipped.extract_if(.., |(_, why)| is_privilege(why)) {
                self.failed.push(format!("{name}: skipped ({why}), which CI does not allow"));
            }
        }
    }
}

fn is_privilege(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    why.contains("root") || why.contains("bpf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_runner_are_told_from_other_output() {
        let of = Outcome::of_scenario;
        assert_eq!(of("ok nginx_proxy (1.2 s)"), Some(("nginx_proxy".into(), Outcome::Passed)));
        assert_eq!(of("FAILED a: b: c"), Some(("a".into(), Outcome::Failed("b: c".into()))));
        assert_eq!(
            of("skipped io_uring: needs root"),
            Some(("io_uring".into(), Outcome::Skipped("needs root".into())))
        );
        assert_eq!(of("3 passed, 1 failed, 0 skipped"), None);
    }

    fn failures(why: &str, skips: Skips) -> usize {
        let mut tally = Tally::default();
        tally.skip("root tests", why);
        tally.settle(skips);
        tally.failed.len()
    }

    #[test]
    fn a_skip_for_want_of_root_fails_in_ci_only() {
        assert_eq!(failures("not root", Skips::Count), 0);
        assert_eq!(failures("not root", Skips::Fail), 1);
    }

    #[test]
    fn a_missing_program_is_no_failure_in_ci() {
        assert_eq!(failures("no go", Skips::Fail), 0);
    }
}
