// SPDX-License-Identifier: Apache-2.0
//! What is tried. One file per question; each has a `list`.

use crate::scenario::Scenario;

mod bad_input;
mod clients;
mod commands;
mod exporters;
mod load;
mod servers;
mod talks;
mod ways;

/// All scenarios, in the order in which they run.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        servers::list(),
        clients::list(),
        ways::list(),
        talks::list(),
        exporters::list(),
        commands::list(),
        bad_input::list(),
        load::list(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let all = super::all();
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().any(super::Scenario::is_smoke));
    }
}
