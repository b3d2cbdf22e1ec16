// SPDX-License-Identifier: Apache-2.0
//! The library that is loaded into a JVM: see `agent/agent.c`.

/// The file.
#[cfg_attr(not(test), expect(dead_code, reason = "nobody loads it yet"))]
pub(crate) const AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/java.so"));

/// What the file's name in a JVM begins with, wherever it lies.
pub(crate) const AGENT_NAME: &str = ".vor-java-";

/// Its functions in which programs stand: they do nothing, and are called at each hand-over.
pub(super) const FUNCTIONS: [&str; 4] =
    ["vor_java_put", "vor_java_take", "vor_java_enter", "vor_java_leave"];
