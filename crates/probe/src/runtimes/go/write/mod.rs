// SPDX-License-Identifier: Apache-2.0
//! Writes the places of calls into the requests of Go programs, in their own buffers: off, until settings ask for it
//! (`ebpf.context_propagation`, mode `headers`).
//!
//! In clear text and in TLS, in every request of a connection. Where the kernel forbids to write into programs, the unit
//! is refused, and nothing else changes.

use super::library::{Feature, Field, Library, Spot};
use crate::code::Code;
use crate::config::ProbeConfig;
use crate::runtimes::silent;
use crate::tracers::{Object, Unit, lineage_sizes, object};

/// The unit.
pub const UNIT: Unit = Unit {
    name: "go_write",
    objects: &[Object { door: None, file: object!("go_write"), hooks: &[] }],
    ring: None,
    decode: silent,
    sizes,
    sweep: None,
    judge: None,
    code: Some(Code {
        wants: super::library::wants,
        plan: |binary| super::library::plan(&LIBRARY, binary),
        programs: || LIBRARY.programs(),
        facts: Some("go_write_files"),
    }),
};

const PERSIST: &str = "net/http.persistConn";
const GRPC: &str = "google.golang.org/grpc/internal/transport.bufWriter";
const WRITER: &str = "bufio.Writer";

const FLUSH: &str = "bufio.(*Writer).Flush";

/// What is wanted of a program.
pub(super) static LIBRARY: Library = Library {
    connects: true,
    fields: &[
        Field::new(&[PERSIST], &["conn"]),
        Field::new(&[PERSIST], &["bw"]),
        Field::new(&[WRITER], &["buf"]),
        Field::new(&[WRITER], &["n"]),
        Field::new(&[WRITER], &["wr"]),
        Field::optional(&[GRPC], &["buf"]),
        Field::optional(&[GRPC], &["bufHandle"]),
        Field::new(&[GRPC], &["offset"]),
        Field::new(&[GRPC], &["batchSize"]),
    ],
    features: &[
        Feature {
            name: "headers of HTTP/1",
            spots: &[Spot::calls(
                &["net/http.(*Request).write"],
                "io.WriteString",
                "go_write_line",
            )],
            needs: &[PERSIST, WRITER],
        },
        Feature {
            name: "headers of HTTP/2",
            spots: &[Spot::calls(
                &[
                    "net/http.(*http2ClientConn).writeHeaders",
                    "net/http/internal/http2.(*ClientConn).writeHeaders",
                ],
                FLUSH,
                "go_write_frame",
            )],
            needs: &[WRITER],
        },
        Feature {
            name: "headers of HTTP/2 of x/net",
            spots: &[
                Spot::calls(
                    &["golang.org/x/net/http2.(*ClientConn).writeHeaders"],
                    FLUSH,
                    "go_write_frame",
                ),
                Spot::called(
                    &["golang.org/x/net/http2.(*Transport).newClientConn"],
                    "go_write_opens",
                ),
            ],
            needs: &[WRITER],
        },
        Feature {
            name: "headers of gRPC",
            spots: &[Spot::returns(
                &["google.golang.org/grpc/internal/transport.(*loopyWriter).writeHeader"],
                "go_write_grpc",
            )],
            needs: &[GRPC],
        },
    ],
};

fn sizes(config: &ProbeConfig) -> Vec<(&'static str, u32)> {
    let files = u32::try_from(config.max_files).unwrap_or(u32::MAX).max(1);
    [vec![("go_write_files", files)], lineage_sizes(config)].concat()
}
