// SPDX-License-Identifier: Apache-2.0
//! `docs/reference/loss-reasons.md` says what the counters are. `VOR_BLESS=1` rewrites it.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fmt::Write;
use std::fs;

use vor_probe::flows::TOLD;
use vor_probe::{COUNTED, LOST, LOST_BY_READER, ROWS};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/loss-reasons.md");

#[test]
fn the_page_of_loss_reasons_is_what_the_code_counts() {
    let page = page();
    if std::env::var_os("VOR_BLESS").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    assert!(fs::read_to_string(PAGE).unwrap() == page, "run this test with VOR_BLESS=1");
}

fn page() -> String {
    let mut page = String::from(
        "# What the kernel side counts\n\n\
         Generated from `crates/probe/src/counters.rs` by `VOR_BLESS=1 cargo test -p vor-probe --test reasons`.\n\n\
         Each unit (`life`, `socket`, …) is a stage of its own and keeps in = out + the sum of its `lost.*`. What the \
         kernel side loses never reaches the ring; it is added to `in` as well.\n\n\
         | counter | what it counts |\n|---|---|\n",
    );
    let lost = LOST.iter().map(|kept| (kept.what, kept.meaning)).chain(LOST_BY_READER);
    let counted = COUNTED.iter().map(|kept| (kept.what, kept.meaning));
    for (what, meaning) in lost.chain(counted) {
        writeln!(page, "| `{what}` | {meaning} |").unwrap();
    }
    page.push_str(
        "\n## Tables\n\n\
         How many rows they have, as gauges of the stage `socket`, as of the last look: once a second while there are exchanges, \
         and when a process ends.\n\n\
         | gauge | rows |\n|---|---|\n",
    );
    for (what, meaning) in ROWS {
        writeln!(page, "| `{what}` | {meaning} |").unwrap();
    }
    page.push_str(
        "\n## Flows\n\n\
         The stage `flow` counts packets on the wire, as many as each sampled one stands for: in = out + the sum of its \
         `lost.*`.\n\n\
         | counter | what it counts |\n|---|---|\n",
    );
    for (what, meaning) in TOLD {
        writeln!(page, "| `{what}` | {meaning} |").unwrap();
    }
    page.push_str(
        "\n## Commands\n\n\
         The stage `probe` counts commands to the kernel side (observe a process, observe it no longer, decide \
         about a connection): `lost.full` are those that found its queue full.\n\n\
         The stage `files` counts programs and libraries of observed processes that are looked at for code to probe: \
         `lost.unreadable` are no ELF files or malformed, `lost.full` are beyond `ebpf.max_files`.\n\n\
         The stage `agents` counts Java virtual machines of observed processes when `javaagent.enabled`: `out` have loaded the \
         agent, `lost.refused` have not, and the verdict on the unit `java` says why, `lost.gone` ended before that, \
         `lost.full` found its queue full.\n",
    );
    page
}
