// SPDX-License-Identifier: Apache-2.0
//! One module per command; each writes what it has to say to the stream it is given.

pub(crate) mod completions;
pub(crate) mod config;
