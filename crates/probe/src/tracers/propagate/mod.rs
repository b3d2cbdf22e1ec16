// SPDX-License-Identifier: Apache-2.0
//! Writes the places of calls into what observed processes send: off, until settings ask for it.
//!
//! Each unit is loaded only when some service may use it (`ebpf.context_propagation`). Which process does is in its
//! entry of the list of observed processes, so connections of others are never touched.

mod trial;

use vor_config::Propagation;

use crate::tracers::{Hook, Object, Unit, object, socket};

/// The TCP option, written and read.
pub const TCP: Unit = Unit {
    name: "wire_tcp",
    objects: &[Object {
        door: None,
        file: object!("wire_tcp"),
        hooks: &[Hook::section("wire_connect"), Hook::cgroup("wire_option")],
    }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes: socket::sizes,
    sweep: None,
    judge: None,
    code: None,
};

/// The header, written.
pub const HTTP: Unit = Unit {
    name: "wire_http",
    objects: &[Object {
        door: None,
        file: object!("wire_http"),
        hooks: &[
            Hook::section("wire_connect"),
            Hook::cgroup("wire_open"),
            Hook::sockhash("wire_message", "wire_hash", "wire_sockets", trial::trial),
        ],
    }],
    ring: None,
    decode: crate::runtimes::silent,
    sizes: |config| {
        let own = vec![("wire_hash", config.max_connections.max(1))];
        [own, socket::sizes(config)].concat()
    },
    sweep: None,
    judge: None,
    code: None,
};

/// All of them.
pub const ALL: &[&Unit] = &[&TCP, &HTTP];

/// Those that it takes to write as `wanted`.
pub(crate) fn units(wanted: Propagation) -> impl Iterator<Item = &'static Unit> {
    [wanted.headers.then_some(&HTTP), wanted.tcp.then_some(&TCP)].into_iter().flatten()
}
