// SPDX-License-Identifier: Apache-2.0
//! One watcher for many agents: `vor kube-cache` follows the API server, agents follow it.
//!
//! In: changes of a [`Store`](super::Store). Out: the same changes in the stores of agents, over gRPC
//! (`proto/kube_cache.proto`). What is told is encoded once for all; a client that is too slow is dropped, counted, and
//! hears the difference when it comes back.

mod ask;
mod config;
mod digest;
mod ledger;
mod serve;
mod teller;
#[cfg(test)]
mod tests;
mod wire;

pub use config::KubeCacheConfig;
pub use serve::{ServeError, serve};

pub(super) use ask::{Ask, AskError};

/// Generated from `proto/kube_cache.proto`.
mod proto {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::pedantic,
        clippy::as_conversions,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    tonic::include_proto!("vor.kubecache.v1");
}
