// SPDX-License-Identifier: Apache-2.0
//! Processes as the kernel knows them.

use std::path::PathBuf;

use crate::time::Mono;

/// Identity of a process. A pid alone is not one: pids are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Thread group id in the initial pid namespace.
    pub pid: u32,
    /// When it started, on the boot clock, cut to whole clock ticks (10 ms) because `/proc/PID/stat`
    /// field 22 says no more.
    pub started: Mono,
}

impl ProcessKey {
    /// What `/proc/PID/stat` resolves, in nanoseconds: `USER_HZ` is 100 on every architecture vor runs on.
    const TICK_NS: u64 = 10_000_000;

    /// The key of the process `pid` that started `boot_ns` nanoseconds after boot.
    #[must_use]
    pub const fn new(pid: u32, boot_ns: u64) -> Self {
        Self { pid, started: Mono(boot_ns / Self::TICK_NS * Self::TICK_NS) }
    }
}

/// What a process was at one moment. A change makes a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Who it is.
    pub key: ProcessKey,
    /// Parent's pid, 0 when it has none.
    pub ppid: u32,
    /// Target of `/proc/PID/exe`, without the " (deleted)" mark.
    pub exe: PathBuf,
    /// What its program is written in.
    pub language: Language,
}

/// Language of a program, as `telemetry.sdk.language` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// C or C++.
    Cpp,
    /// Python.
    Python,
    /// Ruby.
    Ruby,
    /// Java on a virtual machine.
    Java,
    /// Java compiled ahead of time by GraalVM.
    GraalNative,
    /// Node.js.
    Nodejs,
    /// .NET.
    Dotnet,
    /// PHP.
    Php,
    /// Not recognised.
    #[default]
    Generic,
}

impl Language {
    /// The value of `telemetry.sdk.language`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Cpp => "cpp",
            Self::Python => "python",
            Self::Ruby => "ruby",
            Self::Java | Self::GraalNative => "java",
            Self::Nodejs => "nodejs",
            Self::Dotnet => "dotnet",
            Self::Php => "php",
            Self::Generic => "generic",
        }
    }
}
