// SPDX-License-Identifier: Apache-2.0
//! Kubernetes: who has an address, whose container this is.
//!
//! In: lists and watches of the API server. Out: a [`Store`] that answers at once. One thread of its own, so that a
//! large listing holds up nobody.

pub mod cache;
mod cluster;
mod condition;
mod config;
mod connect;
mod describe;
mod follow;
mod index;
mod object;
mod rules;
mod seen;
mod store;
mod template;
mod watch;
mod words;

pub use config::{Enable, Informer, KubernetesConfig, SourceLabelsConfig};
pub use connect::ConnectError;
pub use describe::METRIC_LABELS;
pub use follow::{Follow, Scope};
pub use object::{Container, Job, Kind, Meta, Node, Object, ObjectId, Owner, Pod, Service};
pub use rules::Rules;
pub use store::{Change, Store};
pub use template::{Template, TemplateError};

#[cfg(test)]
mod tests;
