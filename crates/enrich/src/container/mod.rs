// SPDX-License-Identifier: Apache-2.0
//! Containers: what they are called and which image they run.

pub(crate) mod image;
