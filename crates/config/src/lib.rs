// SPDX-License-Identifier: Apache-2.0
//! Settings from a YAML file, the environment and flags, each value with its origin.
//!
//! In: a root `C: confique::Config` (one nested struct per crate), a file, variables, flags. Out:
//! [`Loaded`], the settings and where each came from, or [`ConfigError`], every problem at once.
//! Nothing else in vor reads the environment or a settings file.

mod value;

pub use value::{Duration, DurationError, PortSet, PortSetError, Secret};
