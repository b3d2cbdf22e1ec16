// SPDX-License-Identifier: Apache-2.0
//! The library that is loaded into a JVM: see `agent/agent.c`.

/// The file.
pub(crate) const AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/java.so"));

/// What the file's name in a JVM begins with, wherever it lies.
pub(crate) const AGENT_NAME: &str = ".vor-java-";

/// What it could not do when it returns a number other than 0 (`enum agent_code` in `agent/agent.c`).
pub(super) fn failure(code: i32) -> &'static str {
    match code {
        1 => "the JVM has no JVMTI or no JNI of a version that is understood",
        2 => "the JVM does not let classes be transformed",
        3 => "its class cannot be defined",
        4 => "the native methods of its class cannot be bound",
        5 => "the JVM gives no memory",
        6 => "the JVM does not show classes when they are transformed",
        7 => "the JVM refuses all patched classes",
        _ => "it returned a number that nobody knows",
    }
}

/// Its functions in which programs stand: they do nothing, and are called at each hand-over.
pub(super) const FUNCTIONS: [&str; 8] = [
    "vor_java_put",
    "vor_java_take",
    "vor_java_enter",
    "vor_java_leave",
    "vor_java_create",
    "vor_java_resume",
    "vor_java_pause",
    "vor_java_end",
];
