// SPDX-License-Identifier: Apache-2.0
//! google.golang.org/grpc: servers and clients, unary and streaming, with and without TLS.

mod decode;
mod library;

use super::unit::unit;
use crate::tracers::Unit;

pub(super) use library::LIBRARY;

/// The unit.
pub const UNIT: Unit = unit!("go_grpc", LIBRARY, decode::decode);
