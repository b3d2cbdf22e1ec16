// SPDX-License-Identifier: Apache-2.0
//! The flow tracer: packets of all interfaces, counted by flow in the kernel.

mod config;

pub use config::{
    Backend, Direction, FlowConfig, GuessPorts, Interfaces, Listen, MaxFlows, Source, Tunnels,
};
