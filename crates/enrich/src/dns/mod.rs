// SPDX-License-Identifier: Apache-2.0
//! Names of hosts, by what DNS says of their addresses.
//!
//! In: addresses that stages ask about; answers of the system's name servers ([`Resolver`]), or those that others got
//! and the kernel side saw ([`Answers`]). Out: names, from memory and at once. Bounded: both remember
//! `network.reverse_dns.cache_len` addresses and forget first what was asked for longest ago.

mod answers;
mod config;
mod memory;
mod resolver;

pub use answers::Answers;
pub use config::{ReverseDnsConfig, ReverseDnsType};
pub use resolver::Resolver;

/// Its name on the board.
const STAGE: &str = "reverse_dns";
