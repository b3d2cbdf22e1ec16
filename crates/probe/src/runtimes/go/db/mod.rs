// SPDX-License-Identifier: Apache-2.0
//! Clients of databases: database/sql with any driver, and github.com/redis/go-redis v9.

mod decode;
mod library;

use super::unit::unit;
use crate::tracers::Unit;

pub(super) use library::LIBRARY;

/// The unit.
pub const UNIT: Unit = unit!("go_db", LIBRARY, decode::decode);
