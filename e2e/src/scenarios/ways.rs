// SPDX-License-Identifier: Apache-2.0
//! Each way bytes move, at both ends: five requests on one connection, each seen by client and server.

use anyhow::{Result, ensure};

use crate::ports;
use crate::scenario::{Expected, Scenario};
use crate::scene::Scene;

const WAYS: [&str; 10] = [
    "read", "readv", "preadv2", "recv", "recvfrom", "recvmsg", "recvmmsg", "sendfile", "splice",
    "peek",
];

pub(super) fn list() -> Vec<Scenario> {
    let scenario = |way: &'static str| {
        Scenario::new(format!("bytes-by-{way}"), move |scene| five(scene, way)).smoke()
    };
    WAYS.map(scenario).into()
}

fn five(scene: &mut Scene<'_>, way: &str) -> Result<Expected> {
    let port = ports::free()?.to_string();
    let mut command = scene.world.apps.program("ways");
    command.args(["server", way, &port]);
    let server = scene.serve(command, port.parse()?)?;
    let mut command = scene.world.apps.program("ways");
    command.args(["client", way, &port, "5"]);
    let client = scene.start(command)?;
    let settings = scene.executable("/ways$")?;
    scene.observe(&settings, &[server.pid, client.pid])?;
    scene.go(client)?;
    for span in scene.spans(10)? {
        let (asked, answered) =
            (span.attr("http.request.body.size"), span.attr("http.response.body.size"));
        ensure!(
            (asked, answered) == ("9", "7"),
            "bodies of {asked} and {answered} bytes, not 9 and 7"
        );
    }
    Ok(Expected::both(5, 5))
}
