// SPDX-License-Identifier: Apache-2.0
//! Which processes exist, which of them are wanted, and what service each is.
//!
//! In: `/proc`, and [`vor_model::Life`] events of the kernel side. Out: an [`Event`] whenever the set of
//! wanted processes changes. One thread, which sleeps until something happens or the next listing of
//! `/proc` is due; memory grows with the processes that exist and with nothing else.

mod access;
mod census;
mod config;
mod container;
mod language;
mod pattern;
mod ports;
mod proc;
mod resource;
mod select;
mod service;
mod watch;

pub use config::{DiscoveryConfig, Selector};
pub use container::Containers;
pub use pattern::{Glob, Regexp};
pub use resource::ResourceAttributes;
pub use select::{Criteria, RootSettings};
pub use service::host;
pub use watch::{Discover, DiscoverError, Event, Handle, Target};
