// SPDX-License-Identifier: Apache-2.0
//! Clients of Kafka: github.com/segmentio/kafka-go, and sarama of IBM and of Shopify.

mod decode;
mod library;
mod request;

use super::unit::unit;
use crate::tracers::Unit;

pub(super) use library::LIBRARY;

/// The unit.
pub const UNIT: Unit = unit!("go_kafka", LIBRARY, decode::decode);
