// SPDX-License-Identifier: Apache-2.0
//! `docs/reference/protocols.md` says what the protocols say of themselves. `VOR_BLESS=1` rewrites it.

use std::fmt::Write;
use std::path::Path;

use vor_protocol::ALL;

#[test]
fn the_reference_page_is_fresh() {
    let mut page = String::from(
        "<!-- Written by VOR_BLESS=1 cargo test -p vor-protocol. -->\n\
         # Protocols\n\n\
         In the order in which they are asked whose a new connection is; the surest wins, and the usual ports\n\
         only decide between equals.\n",
    );
    for protocol in ALL {
        let info = protocol.info();
        let ports: Vec<_> = info.ports.iter().map(ToString::to_string).collect();
        writeln!(page, "\n## {}\n\nUsual ports: {}.\n", info.name, ports.join(", ")).unwrap();
        writeln!(page, "| metric | unit | what | labels |\n|---|---|---|---|").unwrap();
        for family in info.families {
            let labels: Vec<_> = family.labels.iter().map(|key| format!("`{key}`")).collect();
            let (name, unit, help) = (family.name, family.unit, family.help);
            writeln!(page, "| `{name}` | {unit} | {help} | {} |", labels.join(", ")).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/protocols.md");
    if std::env::var_os("VOR_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "stale; VOR_BLESS=1 rewrites it");
}
