// SPDX-License-Identifier: Apache-2.0
//! crypto/tls: what is said on its connections, whatever speaks there.
//!
//! In: what is given to `Write` and what `Read` gives. Out: exchanges, as those of the unit `socket`, whose rows, ring
//! and verdicts it shares. Units of libraries claim them there as they do in clear text.

use super::library::{Feature, Library, Spot};
use super::unit;
use crate::code::Code;
use crate::config::ProbeConfig;
use crate::runtimes::silent;
use crate::tracers::wire::GO_TLS_SERVER;
use crate::tracers::{Object, Unit, object, socket};

/// The unit.
pub const UNIT: Unit = Unit {
    name: "go_tls",
    objects: &[Object { door: None, file: object!("go_tls"), hooks: &[] }],
    ring: None,
    decode: silent,
    sizes,
    sweep: Some(unit::sweep("go_tls_sweep")),
    judge: None,
    code: Some(Code {
        wants: super::library::wants,
        plan: |binary| super::library::plan(&LIBRARY, binary),
        programs: || LIBRARY.programs(),
        facts: Some("go_tls_files"),
    }),
};

/// What is wanted of a program.
pub(super) static LIBRARY: Library = Library {
    connects: true,
    fields: &[],
    features: &[Feature {
        name: "TLS",
        spots: &[
            Spot::called(&["crypto/tls.(*Conn).Read"], "go_tls_read"),
            Spot::returns(&["crypto/tls.(*Conn).Read"], "go_tls_got"),
            Spot::called(&["crypto/tls.(*Conn).Write"], "go_tls_write"),
            Spot::called(&["crypto/tls.(*Conn).writeRecordLocked"], "go_tls_record"),
            Spot::called(&["crypto/tls.(*Conn).clientHandshake"], "go_tls_shakes"),
            Spot::called(&["crypto/tls.(*Conn).serverHandshake"], "go_tls_shakes")
                .tagged(GO_TLS_SERVER),
        ],
        needs: &[],
    }],
};

fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let own = vec![
        ("go_tls_calls", config.max_connections.max(1)),
        ("go_tls_files", u32::try_from(config.max_files).unwrap_or(u32::MAX).max(1)),
    ];
    [own, socket::placing_sizes(config)].concat()
}
