// SPDX-License-Identifier: Apache-2.0
//! Settings for tests that bring programs into the kernel.
#![allow(clippy::expect_used, reason = "a test may fail")]

use confique::Config;
use vor_probe::ProbeConfig;

/// The settings when nothing is set.
pub(crate) fn defaults() -> ProbeConfig {
    ProbeConfig::builder().load().expect("every setting has a default")
}
