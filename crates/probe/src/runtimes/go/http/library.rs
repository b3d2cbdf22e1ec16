// SPDX-License-Identifier: Apache-2.0
//! What is wanted of a program.

use super::super::library::{Feature, Field, Library, Spot};
use crate::tracers::wire::{GO_HTTP_BUNDLED, GO_HTTP_MOVED, GO_HTTP_XNET};

const REQUEST: &[&str] = &["net/http.Request"];
const URL: &[&str] = &["net/url.URL"];
const RESPONSE: &[&str] = &["net/http.response"];
const CONN: &[&str] = &["net/http.conn"];
const ANSWER: &[&str] = &["net/http.Response"];
const MOVED: &[&str] = &["net/http/internal/http2.ServerRequest"];
const HEADER_FIELD: &[&str] = &[HPACK_OF_NET_HTTP, HPACK_OF_X_NET];
const HPACK_OF_NET_HTTP: &str = "vendor/golang.org/x/net/http2/hpack.HeaderField";
const HPACK_OF_X_NET: &str = "golang.org/x/net/http2/hpack.HeaderField";
const PERSIST: &[&str] = &["net/http.persistConn"];

/// The library.
pub(in crate::runtimes::go) static LIBRARY: Library = Library {
    connects: true,
    fields: &[
        Field::new(REQUEST, &["Method"]),
        Field::new(REQUEST, &["URL"]),
        Field::new(REQUEST, &["ProtoMajor"]),
        Field::new(REQUEST, &["ProtoMinor"]),
        Field::new(REQUEST, &["ContentLength"]),
        Field::new(REQUEST, &["Host"]),
        Field::new(REQUEST, &["RequestURI"]),
        Field::new(REQUEST, &["TLS"]),
        Field::new(MOVED, &["Method"]),
        Field::new(MOVED, &["URL"]),
        Field::new(MOVED, &["ProtoMajor"]),
        Field::new(MOVED, &["ProtoMinor"]),
        Field::new(MOVED, &["ContentLength"]),
        Field::new(MOVED, &["Host"]),
        Field::new(MOVED, &["RequestURI"]),
        Field::new(MOVED, &["TLS"]),
        Field::new(HEADER_FIELD, &["Name"]),
        Field::new(HEADER_FIELD, &["Value"]),
        Field::optional(REQUEST, &["pat"]),
        Field::new(REQUEST, &["Body"]),
        Field::new(URL, &["Scheme"]),
        Field::new(URL, &["Host"]),
        Field::new(URL, &["Path"]),
        Field::new(URL, &["RawPath"]),
        Field::new(RESPONSE, &["conn"]),
        Field::new(RESPONSE, &["status"]),
        Field::new(RESPONSE, &["written"]),
        Field::new(CONN, &["rwc"]),
        Field::new(CONN, &["hijackedv"]),
        Field::new(ANSWER, &["StatusCode"]),
        Field::new(ANSWER, &["ContentLength"]),
        Field::new(PERSIST, &["conn"]),
        Field::new(&["net/http.http2serverConn"], &["conn"]),
        Field::new(&["golang.org/x/net/http2.serverConn"], &["conn"]),
        Field::new(&["net/http/internal/http2.serverConn"], &["conn"]),
        Field::new(&["net/http.http2responseWriter"], &["rws"]),
        Field::new(&["golang.org/x/net/http2.responseWriter"], &["rws"]),
        Field::new(&["net/http/internal/http2.responseWriter"], &["rws"]),
        Field::optional(&["net/http.http2responseWriterState"], &["stream"]),
        Field::optional(&["golang.org/x/net/http2.responseWriterState"], &["stream"]),
        Field::optional(&["net/http/internal/http2.responseWriterState"], &["stream"]),
        Field::new(&["net/http.http2responseWriterState"], &["status"]),
        Field::new(&["golang.org/x/net/http2.responseWriterState"], &["status"]),
        Field::new(&["net/http/internal/http2.responseWriterState"], &["status"]),
        Field::new(&["net/http.http2responseWriterState"], &["wroteBytes"]),
        Field::new(&["golang.org/x/net/http2.responseWriterState"], &["wroteBytes"]),
        Field::new(&["net/http/internal/http2.responseWriterState"], &["wroteBytes"]),
        Field::new(&["net/http.http2ClientConn"], &["tconn"]),
        Field::new(&["golang.org/x/net/http2.ClientConn"], &["tconn"]),
        Field::new(&["net/http/internal/http2.ClientConn"], &["tconn"]),
        Field::new(&["net/http.http2MetaHeadersFrame"], &["Fields"]),
        Field::new(&["golang.org/x/net/http2.MetaHeadersFrame"], &["Fields"]),
        Field::new(&["net/http/internal/http2.MetaHeadersFrame"], &["Fields"]),
        Field::optional(&["net/http.http2stream"], &["id"]),
        Field::optional(&["golang.org/x/net/http2.stream"], &["id"]),
        Field::optional(&["net/http/internal/http2.stream"], &["id"]),
        Field::new(&["net/http.http2clientStream"], &["ID"]),
        Field::new(&["golang.org/x/net/http2.clientStream"], &["ID"]),
        Field::new(&["net/http/internal/http2.clientStream"], &["ID"]),
        Field::optional(&["net/http.http2stream"], &["state"]),
        Field::optional(&["golang.org/x/net/http2.stream"], &["state"]),
        Field::optional(&["net/http/internal/http2.stream"], &["state"]),
        Field::optional(&["net/http.http2stream"], &["bodyBytes"]),
        Field::optional(&["golang.org/x/net/http2.stream"], &["bodyBytes"]),
        Field::optional(&["net/http/internal/http2.stream"], &["bodyBytes"]),
        Field::optional(&["net/http.http2clientStream"], &["cc"]),
        Field::optional(&["golang.org/x/net/http2.clientStream"], &["cc"]),
        Field::optional(&["net/http/internal/http2.clientStream"], &["cc"]),
        Field::optional(&["net/http.http2ClientConn"], &["hbuf"]),
        Field::optional(&["golang.org/x/net/http2.ClientConn"], &["hbuf"]),
        Field::optional(&["net/http/internal/http2.ClientConn"], &["hbuf"]),
    ],
    features: &[
        Feature {
            name: "HTTP servers",
            spots: &[
                Spot::called(&["net/http.serverHandler.ServeHTTP"], "go_http_serve"),
                Spot::returns(&["net/http.serverHandler.ServeHTTP"], "go_http_served"),
                Spot::called(&["net/http.(*conn).readRequest"], "go_http_read"),
                Spot::returns(&["net/http.(*conn).serve"], "go_http_over"),
                Spot::called(&["net/http.(*ServeMux).ServeHTTP"], "go_http_mux"),
            ],
            needs: &["net/http.Request", "net/http.response", "net/http.conn"],
        },
        Feature {
            name: "HTTP/2 servers",
            spots: &[
                Spot::called(&["net/http.(*http2serverConn).runHandler"], "go_http2_serve"),
                Spot::returns(&["net/http.(*http2serverConn).runHandler"], "go_http2_served"),
                Spot::called(&["net/http.(*http2responseWriter).handlerDone"], "go_http2_done"),
            ],
            needs: &[
                "net/http.Request",
                "net/http.http2serverConn",
                "net/http.http2responseWriter",
                "net/http.http2responseWriterState",
            ],
        },
        Feature {
            name: "HTTP/2 servers of x/net",
            spots: &[
                Spot::called(
                    &["golang.org/x/net/http2.(*serverConn).runHandler"],
                    "go_http2_serve",
                )
                .tagged(GO_HTTP_XNET),
                Spot::returns(
                    &["golang.org/x/net/http2.(*serverConn).runHandler"],
                    "go_http2_served",
                )
                .tagged(GO_HTTP_XNET),
                Spot::called(
                    &["golang.org/x/net/http2.(*responseWriter).handlerDone"],
                    "go_http2_done",
                )
                .tagged(GO_HTTP_XNET),
            ],
            needs: &[
                "net/http.Request",
                "golang.org/x/net/http2.serverConn",
                "golang.org/x/net/http2.responseWriter",
                "golang.org/x/net/http2.responseWriterState",
            ],
        },
        Feature {
            name: "HTTP clients",
            spots: &[
                Spot::called(&["net/http.(*Transport).roundTrip"], "go_http_ask"),
                Spot::returns(&["net/http.(*Transport).roundTrip"], "go_http_asked"),
                Spot::called(&["net/http.(*persistConn).roundTrip"], "go_http_conn"),
            ],
            needs: &[
                "net/http.Request",
                "net/url.URL",
                "net/http.Response",
                "net/http.persistConn",
            ],
        },
        Feature {
            name: "HTTP/2 clients",
            spots: &[
                Spot::called(
                    &[
                        "net/http.(*http2ClientConn).roundTrip",
                        "net/http.(*http2ClientConn).RoundTrip",
                    ],
                    "go_http2_ask",
                )
                .tagged(GO_HTTP_BUNDLED),
                Spot::returns(
                    &[
                        "net/http.(*http2ClientConn).roundTrip",
                        "net/http.(*http2ClientConn).RoundTrip",
                    ],
                    "go_http2_asked",
                ),
            ],
            needs: &[
                "net/http.Request",
                "net/url.URL",
                "net/http.Response",
                "net/http.http2ClientConn",
            ],
        },
        Feature {
            name: "HTTP/2 clients of x/net",
            spots: &[
                Spot::called(
                    &[
                        "golang.org/x/net/http2.(*ClientConn).roundTrip",
                        "golang.org/x/net/http2.(*ClientConn).RoundTrip",
                    ],
                    "go_http2_ask",
                )
                .tagged(GO_HTTP_XNET),
                Spot::returns(
                    &[
                        "golang.org/x/net/http2.(*ClientConn).roundTrip",
                        "golang.org/x/net/http2.(*ClientConn).RoundTrip",
                    ],
                    "go_http2_asked",
                ),
            ],
            needs: &[
                "net/http.Request",
                "net/url.URL",
                "net/http.Response",
                "golang.org/x/net/http2.ClientConn",
            ],
        },
        Feature {
            name: "outgoing traces of HTTP/2",
            spots: &[Spot::called(
                &["net/http.(*http2clientStream).encodeAndWriteHeaders"],
                "go_http2_leaves",
            )
            .tagged(GO_HTTP_BUNDLED)],
            needs: &["net/http.http2clientStream"],
        },
        Feature {
            name: "outgoing traces of HTTP/2 of x/net",
            spots: &[Spot::called(
                &["golang.org/x/net/http2.(*clientStream).encodeAndWriteHeaders"],
                "go_http2_leaves",
            )
            .tagged(GO_HTTP_XNET)],
            needs: &["golang.org/x/net/http2.clientStream"],
        },
        Feature {
            name: "outgoing traces of HTTP/2 since Go 1.27",
            spots: &[Spot::called(
                &["net/http/internal/http2.(*clientStream).encodeAndWriteHeaders"],
                "go_http2_leaves",
            )
            .tagged(GO_HTTP_MOVED)],
            needs: &["net/http/internal/http2.clientStream"],
        },
        Feature {
            name: "incoming traces of HTTP/2",
            spots: &[Spot::called(
                &["net/http.(*http2serverConn).newWriterAndRequest"],
                "go_http2_head",
            )
            .tagged(GO_HTTP_BUNDLED)],
            needs: &["net/http.http2MetaHeadersFrame", HPACK_OF_NET_HTTP, HPACK_OF_X_NET],
        },
        Feature {
            name: "incoming traces of HTTP/2 of x/net",
            spots: &[Spot::called(
                &["golang.org/x/net/http2.(*serverConn).newWriterAndRequest"],
                "go_http2_head",
            )
            .tagged(GO_HTTP_XNET)],
            needs: &["golang.org/x/net/http2.MetaHeadersFrame", HPACK_OF_NET_HTTP, HPACK_OF_X_NET],
        },
        Feature {
            name: "incoming traces of HTTP/2 since Go 1.27",
            spots: &[Spot::called(
                &["net/http/internal/http2.(*serverConn).newWriterAndRequest"],
                "go_http2_head",
            )
            .tagged(GO_HTTP_MOVED)],
            needs: &["net/http/internal/http2.MetaHeadersFrame", HPACK_OF_NET_HTTP, HPACK_OF_X_NET],
        },
        Feature {
            name: "HTTP/2 servers since Go 1.27",
            spots: &[
                Spot::called(
                    &["net/http/internal/http2.(*serverConn).runHandler"],
                    "go_http2_serve",
                )
                .tagged(GO_HTTP_MOVED),
                Spot::returns(
                    &["net/http/internal/http2.(*serverConn).runHandler"],
                    "go_http2_served",
                )
                .tagged(GO_HTTP_MOVED),
                Spot::called(
                    &["net/http/internal/http2.(*responseWriter).handlerDone"],
                    "go_http2_done",
                )
                .tagged(GO_HTTP_MOVED),
            ],
            needs: &[
                "net/http/internal/http2.ServerRequest",
                "net/http/internal/http2.serverConn",
                "net/http/internal/http2.responseWriter",
                "net/http/internal/http2.responseWriterState",
            ],
        },
        Feature {
            name: "HTTP/2 clients since Go 1.27",
            spots: &[Spot::called(
                &["net/http/internal/http2.(*ClientConn).roundTrip"],
                "go_http2_ask",
            )
            .tagged(GO_HTTP_MOVED)],
            needs: &["net/http/internal/http2.ClientConn"],
        },
    ],
};
