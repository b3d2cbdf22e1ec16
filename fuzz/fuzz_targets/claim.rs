// SPDX-License-Identifier: Apache-2.0
//! Exchanges of talks, claimed: twice the same verdict, and a protocol that is chosen has claimed. Seeds: the goldens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vor_protocol::claim::claim;
use vor_protocol::{ALL, Claim};

#[allow(dead_code, reason = "shared with tests, which use the rest")]
#[path = "../../crates/protocol/tests/talk/mod.rs"]
mod talk;

fuzz_target!(|text: &str| {
    let Some(talks) = talk::parse(text) else { return };
    for exchange in talks.iter().flat_map(|talk| &talk.exchanges) {
        for protocol in ALL {
            assert_eq!(protocol.claim(exchange), protocol.claim(exchange));
        }
        if let Some(found) = claim(ALL, exchange, None) {
            assert!(found.swapped || found.protocol.claim(exchange) > Claim::No);
        }
    }
});
