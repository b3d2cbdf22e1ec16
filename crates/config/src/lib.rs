// SPDX-License-Identifier: Apache-2.0
//! Settings from a YAML file, the environment and flags, each value with its origin.
//!
//! In: a root `C: confique::Config` (one nested struct per crate), a file, variables, flags. Out:
//! [`Loaded`], the settings and where each came from, or [`ConfigError`], every problem at once.
//! Nothing else in vor reads the environment or a settings file.
//!
//! Only a root's metadata and its partial form are used of `confique`; a leaf's type does its own
//! validation when it is deserialised. How a leaf names its variables: [`variables`].

mod doc;
mod effective;
mod expand;
mod fault;
mod load;
mod names;
mod node;
mod read;
mod value;
mod yaml;

pub use doc::reference;
pub use effective::Effective;
pub use fault::{ConfigError, Problem};
pub use load::{Flag, Foreign, Loaded, Sources, environment, load};
pub use names::{PREFIXES, variables};
pub use node::Origin;
pub use value::{
    Duration, DurationError, PortSet, PortSetError, Propagation, PropagationError, Secret,
};
