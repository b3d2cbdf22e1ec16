// SPDX-License-Identifier: Apache-2.0
//! Everything that touches the kernel, and the C that runs in it.

mod config;
pub mod tracers;

pub use config::{BatchLength, DoorSetting, ProbeConfig, RingSize};
