// SPDX-License-Identifier: Apache-2.0
//! Stages: steps over batches, one file each.

mod locate;

pub use locate::Locate;
