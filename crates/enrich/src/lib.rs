// SPDX-License-Identifier: Apache-2.0
//! Names for addresses and processes. Each source is a folder, fills [`vor_pipeline::Directory`] from a snapshot, and
//! keeps that snapshot fresh in tasks of its own.

pub mod container;
pub mod dns;
pub mod host;
pub mod kube;
mod names;
mod peers;

pub use names::Names;
pub use peers::{NameResolverConfig, NameSource, Peers};
