// SPDX-License-Identifier: Apache-2.0
//! What is wanted of a program.

use super::super::library::{Feature, Field, Library, Spot};

const STREAM: &str = "google.golang.org/grpc/internal/transport.Stream";
const FRAME: &str = "golang.org/x/net/http2.MetaHeadersFrame";
const HEADER: &str = "golang.org/x/net/http2.FrameHeader";
const HPACK: &str = "golang.org/x/net/http2/hpack.HeaderField";
const SERVER: &str = "google.golang.org/grpc/internal/transport.http2Server";
const CLIENT: &str = "google.golang.org/grpc/internal/transport.http2Client";
const STATUS: &str = "google.golang.org/grpc/internal/status.Status";
const ERROR: &str = "google.golang.org/grpc/internal/status.Error";
const LOOPY: &str = "google.golang.org/grpc/internal/transport.loopyWriter";
const PARSER: &str = "google.golang.org/grpc.parser";
const PROTO: &str = "google.golang.org/genproto/googleapis/rpc/status.Status";

/// The library.
pub(in crate::runtimes::go) static LIBRARY: Library = Library {
    connects: true,
    fields: &[
        Field::new(&[HPACK], &["Name"]),
        Field::new(&[HPACK], &["Value"]),
        Field::new(&[FRAME], &["Fields"]),
        Field::new(&[HEADER], &["Type"]),
        Field::new(&[HEADER], &["StreamID"]),
        Field::optional(&[STREAM], &["id"]),
        Field::new(&[STREAM], &["method"]),
        Field::optional(&["google.golang.org/grpc/internal/transport.ServerStream"], &["Stream"]),
        Field::new(&[SERVER], &["conn"]),
        Field::new(&[CLIENT], &["conn"]),
        Field::new(&[STATUS], &["s"]),
        Field::new(&[ERROR], &["s"]),
        Field::new(&[PROTO], &["Code"]),
        Field::optional(&[LOOPY], &["framer"]),
        Field::optional(&[LOOPY], &["hBuf"]),
        Field::optional(&["google.golang.org/grpc/internal/transport.framer"], &["writer"]),
        Field::new(&[PARSER], &["r"]),
        Field::new(&[PARSER], &["header"]),
    ],
    features: &[
        Feature {
            name: "gRPC servers",
            spots: &[
                Spot::called(&["google.golang.org/grpc.(*Server).handleStream"], "go_grpc_serve"),
                Spot::returns(&["google.golang.org/grpc.(*Server).handleStream"], "go_grpc_served"),
                Spot::called(
                    &[
                        "google.golang.org/grpc/internal/transport.(*http2Server).writeStatus",
                        "google.golang.org/grpc/internal/transport.(*http2Server).WriteStatus",
                    ],
                    "go_grpc_status",
                ),
            ],
            needs: &[STREAM, SERVER, STATUS, PROTO],
        },
        Feature {
            name: "incoming traces of gRPC",
            spots: &[Spot::called(
                &["google.golang.org/grpc/internal/transport.(*http2Server).operateHeaders"],
                "go_grpc_head",
            )],
            needs: &[FRAME, HEADER, HPACK],
        },
        Feature {
            name: "gRPC clients",
            spots: &[
                Spot::called(&["google.golang.org/grpc.(*ClientConn).Invoke"], "go_grpc_invoke"),
                Spot::returns(&["google.golang.org/grpc.(*ClientConn).Invoke"], "go_grpc_invoked"),
                Spot::called(
                    &["google.golang.org/grpc/internal/transport.(*http2Client).NewStream"],
                    "go_grpc_conn",
                ),
            ],
            needs: &[CLIENT, STATUS, ERROR, PROTO],
        },
        Feature {
            name: "sizes of gRPC",
            spots: &[
                Spot::called(&["google.golang.org/grpc.(*parser).recvMsg"], "go_grpc_take"),
                Spot::returns(&["google.golang.org/grpc.(*parser).recvMsg"], "go_grpc_took"),
                Spot::called(
                    &[
                        "google.golang.org/grpc/internal/transport.(*http2Server).write",
                        "google.golang.org/grpc/internal/transport.(*http2Server).Write",
                    ],
                    "go_grpc_send",
                ),
                Spot::called(
                    &[
                        "google.golang.org/grpc/internal/transport.(*http2Client).write",
                        "google.golang.org/grpc/internal/transport.(*http2Client).Write",
                    ],
                    "go_grpc_send",
                ),
                Spot::returns(
                    &["google.golang.org/grpc/internal/transport.(*http2Client).NewStream"],
                    "go_grpc_begun",
                ),
            ],
            needs: &[PARSER],
        },
        Feature {
            name: "outgoing traces of gRPC",
            spots: &[
                Spot::returns(
                    &[
                        "google.golang.org/grpc/internal/transport.(*http2Client).createHeaderFields",
                    ],
                    "go_grpc_made",
                ),
                Spot::called(
                    &[
                        "google.golang.org/grpc/internal/transport.(*loopyWriter).originateStream",
                        "google.golang.org/grpc/internal/transport.(*loopyWriter).clientHeaderHandler",
                    ],
                    "go_grpc_leaves",
                ),
            ],
            needs: &[CLIENT],
        },
        Feature {
            name: "gRPC client streams",
            spots: &[
                Spot::called(&["google.golang.org/grpc.(*ClientConn).NewStream"], "go_grpc_stream"),
                Spot::returns(
                    &["google.golang.org/grpc.(*ClientConn).NewStream"],
                    "go_grpc_opened",
                ),
                Spot::called(
                    &["google.golang.org/grpc.(*clientStream).newAttemptLocked"],
                    "go_grpc_attempt",
                ),
                Spot::called(&["google.golang.org/grpc.(*clientStream).finish"], "go_grpc_finish"),
            ],
            needs: &[CLIENT, STATUS, ERROR, PROTO],
        },
    ],
};
