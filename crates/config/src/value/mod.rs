// SPDX-License-Identifier: Apache-2.0
//! Value types that every crate's settings share: each validates itself while it is read.

mod duration;
mod ports;
mod propagation;
mod secret;

pub use duration::{Duration, DurationError};
pub use ports::{PortSet, PortSetError};
pub use propagation::{Propagation, PropagationError};
pub use secret::Secret;

pub(crate) use duration::DURATION;
pub(crate) use secret::SECRET;
