// SPDX-License-Identifier: Apache-2.0
//! Steps over batches, one file each. The composition root says in which order they stand.
//!
//! In: a batch. Out: the same with more facts, or with less in it. None of them waits for anything.

mod cidr;
mod dedup;
mod filter;
mod locate;
mod owners;
mod protocols;
mod reverse;
mod workloads;

pub use cidr::{CidrList, Cidrs};
pub use dedup::{Dedup, DedupConfig, Deduper};
pub use filter::{Filter, FilterError, FilterRules};
pub use locate::Locate;
pub use owners::Owners;
pub use protocols::{ProtocolList, Protocols};
pub use reverse::ReverseDns;
pub use workloads::Workloads;
