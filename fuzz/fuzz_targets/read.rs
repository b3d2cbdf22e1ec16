// SPDX-License-Identifier: Apache-2.0
//! Talks, read by every protocol on either side whether it claims them or not. Seeds: the goldens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vor_model::Side;
use vor_protocol::ALL;

#[allow(dead_code, reason = "shared with tests, which use the rest")]
#[path = "../../crates/protocol/tests/talk/mod.rs"]
mod talk;

fuzz_target!(|text: &str| {
    let Some(talks) = talk::parse(text) else { return };
    for talk in &talks {
        for (protocol, side) in ALL.iter().flat_map(|it| [(it, Side::Client), (it, Side::Server)]) {
            let steps = talk::read(*protocol, talk, side);
            let done: usize = steps.iter().map(|step| step.done.len()).sum();
            assert!(done <= text.len());
            let ordered = steps.iter().flat_map(|step| &step.done);
            assert!(ordered.into_iter().all(|done| done.time.start <= done.time.end));
        }
    }
});
