// SPDX-License-Identifier: Apache-2.0
//! Keys and bucket bounds that two or more units share. A key that one unit uses is a constant there.
//!
//! Names follow the OpenTelemetry semantic conventions 1.38.

use crate::attrs::Key;

/// Numeric or symbolic class of an error.
pub const ERROR_TYPE: Key = Key::new("error.type");
/// How the parent of a span was found.
pub const PARENT_METHOD: Key = Key::new("vor.parent.method");
/// Asking end: name or address.
pub const CLIENT_ADDRESS: Key = Key::new("client.address");
/// Asking end: port.
pub const CLIENT_PORT: Key = Key::new("client.port");
/// Answering end: name or address.
pub const SERVER_ADDRESS: Key = Key::new("server.address");
/// Answering end: port.
pub const SERVER_PORT: Key = Key::new("server.port");
/// HTTP method.
pub const HTTP_REQUEST_METHOD: Key = Key::new("http.request.method");
/// HTTP status.
pub const HTTP_RESPONSE_STATUS_CODE: Key = Key::new("http.response.status_code");
/// Route pattern that matched.
pub const HTTP_ROUTE: Key = Key::new("http.route");
/// Bytes of the request's body.
pub const HTTP_REQUEST_BODY_SIZE: Key = Key::new("http.request.body.size");
/// Bytes of the response's body.
pub const HTTP_RESPONSE_BODY_SIZE: Key = Key::new("http.response.body.size");
/// Path of the URL.
pub const URL_PATH: Key = Key::new("url.path");
/// Whole URL.
pub const URL_FULL: Key = Key::new("url.full");
/// Scheme of the URL.
pub const URL_SCHEME: Key = Key::new("url.scheme");

/// Beyla's bounds for durations, seconds.
pub const DURATION_BUCKETS: &[f64] =
    &[0.0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Beyla's bounds for sizes, bytes.
pub const SIZE_BUCKETS: &[f64] =
    &[0.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
