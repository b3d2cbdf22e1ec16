// SPDX-License-Identifier: Apache-2.0
//! What is tried. One file per question; each has a `list`.

use anyhow::Result;

use crate::ports;
use crate::scenario::Scenario;
use crate::scene::{Actor, Scene};
use crate::vor::Settings;

mod bad_input;
mod clients;
mod commands;
mod containers;
mod exporters;
mod golang;
mod java;
mod kubernetes;
mod kubernetes_addresses;
mod late;
mod load;
mod network;
mod propagation;
mod propagation_go;
mod servers;
mod talks;
mod traces;
mod truth;
mod ways;

/// All scenarios, in the order in which they run.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        servers::list(),
        clients::list(),
        ways::list(),
        talks::list(),
        traces::list(),
        late::list(),
        propagation::list(),
        propagation_go::list(),
        truth::list(),
        golang::list(),
        java::list(),
        exporters::list(),
        kubernetes::list(),
        containers::list(),
        kubernetes_addresses::list(),
        commands::list(),
        bad_input::list(),
        load::list(),
        network::list(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The event-loop server and its port; not observed yet.
fn epoll(scene: &mut Scene<'_>) -> Result<(Actor, u16)> {
    let port = ports::free()?;
    let mut command = scene.world.apps.program("epoll");
    command.arg(port.to_string());
    Ok((scene.serve(command, port)?, port))
}

/// The event-loop server's port; observed, with all exporters on.
fn observed_epoll(scene: &mut Scene<'_>, settings: &Settings) -> Result<u16> {
    let (server, port) = epoll(scene)?;
    scene.observe(&settings.clone().with("BEYLA_OPEN_PORT", port), &[server.pid])?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let all = super::all();
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().any(super::Scenario::is_smoke), "the smoke suite is empty");
    }
}
