// SPDX-License-Identifier: Apache-2.0
//! One file per command.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod exec;
pub(crate) mod kube_cache;
pub(crate) mod run;
