// SPDX-License-Identifier: Apache-2.0
//! net/http, versions 1 and 2 of HTTP, and golang.org/x/net/http2; servers and clients, with and without TLS.

mod decode;
mod library;

use super::unit::unit;
use crate::tracers::Unit;

pub(super) use library::LIBRARY;

/// The unit.
pub const UNIT: Unit = unit!("go_http", LIBRARY, decode::decode);
