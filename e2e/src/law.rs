// SPDX-License-Identifier: Apache-2.0
//! The law of counting: at every stage, what came in went out or is counted as lost, with a reason.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use crate::scrape::Sample;

#[derive(Default)]
struct Stage<'a> {
    taken: Option<f64>,
    given: Option<f64>,
    lost: Vec<(&'a str, f64)>,
}

/// Losses that say nothing about vor: of all programs that start anywhere on the machine, some end before
/// anyone can look at them.
const NATURAL: [&str; 1] = ["discover/vanished"];

/// Checks one page of vor's own metrics. Losses are wrong unless `expected` has them as `stage/reason`; stages in
/// `holding` may keep what came in.
pub fn check(page: &[Sample], expected: &[&str], holding: &[&str]) -> Result<()> {
    let mut stages: BTreeMap<&str, Stage<'_>> = BTreeMap::new();
    for sample in page {
        let stage = stages.entry(sample.label("stage")).or_default();
        match sample.name.as_str() {
            "vor_stage_in_total" => stage.taken = Some(sample.value),
            "vor_stage_out_total" => stage.given = Some(sample.value),
            "vor_stage_lost_total" => stage.lost.push((sample.label("reason"), sample.value)),
            _ => {}
        }
    }
    ensure!(stages.values().any(|stage| stage.taken.is_some()), "no stage counts what comes in");
    for (name, stage) in &stages {
        let lost: f64 = stage.lost.iter().map(|(_, value)| value).sum();
        // A stage at either end counts one of the two only.
        if let (Some(taken), Some(given)) = (stage.taken, stage.given)
            && (taken - given - lost).abs() > 0.5
            && !holding.contains(name)
        {
            bail!("stage {name}: {taken} in, but {given} out and {lost} lost");
        }
        for (reason, value) in &stage.lost {
            let named = format!("{name}/{reason}");
            let known = [expected, &NATURAL].concat().contains(&named.as_str());
            ensure!(*value == 0.0 || known, "stage {name} lost {value}: {reason}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::parse;

    fn page(lost: u32) -> Vec<Sample> {
        let page = format!(
            "vor_stage_in_total{{stage=\"a\"}} 5\nvor_stage_out_total{{stage=\"a\"}} 4\n\
             vor_stage_lost_total{{stage=\"a\",reason=\"full\"}} {lost}\nvor_stage_in_total{{stage=\"b\"}} 3\n"
        );
        parse(&page).unwrap()
    }

    #[test]
    fn a_loss_must_be_counted_and_expected() {
        check(&page(1), &["a/full"], &[]).unwrap();
        check(&page(0), &[], &["a"]).unwrap();
        let unexpected = check(&page(1), &[], &[]).unwrap_err().to_string();
        assert_eq!(unexpected, "stage a lost 1: full");
        let unbalanced = check(&page(0), &[], &[]).unwrap_err().to_string();
        assert_eq!(unbalanced, "stage a: 5 in, but 4 out and 0 lost");
        assert!(check(&[], &[], &[]).is_err(), "an empty page proves nothing");
    }
}
