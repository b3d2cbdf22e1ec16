// SPDX-License-Identifier: Apache-2.0
//! Settings of the kernel side.

use std::path::PathBuf;

use vor_config::{Duration, Propagation};

use crate::tracers::Door;
use crate::tracers::flow::Backend;

/// How the kernel is watched (`ebpf`).
#[derive(Debug, Clone, confique::Config)]
pub struct ProbeConfig {
    /// How vor gets to see what programs say: `fentry`, `kprobe`, `syscall`, or `auto` for the cheapest of
    /// them that this kernel opens.
    #[config(default = "auto", env = "DOOR")]
    pub door: DoorSetting,
    /// Connections of observed processes that are followed at once, at least 1. Those beyond it are not seen.
    #[config(default = 16384, env = "BPF_MAX_CONNECTIONS")]
    pub max_connections: u32,
    /// Bytes between kernel and user space, a power of two from 64 KiB to 1 GiB. What does not fit is lost and
    /// counted.
    #[config(default = 2_097_152, env = "BPF_RING_SIZE")]
    pub ring_size: RingSize,
    /// Most captures that are passed on at once, from 1 to 65536.
    #[config(default = 512, env = "BPF_BATCH_LENGTH")]
    pub batch_length: BatchLength,
    /// Programs and libraries whose code is probed at once. Those beyond it are observed from outside only; 0: all.
    #[config(default = 256, env = "BPF_MAX_FILES")]
    pub max_files: usize,
    /// A table of offsets in Go libraries that is used instead of vor's own, for versions that are newer than
    /// vor: `crates/exe/src/go/offsets.txt`, as `cargo xtask go-offsets` writes it.
    #[config(env = "BPF_GO_OFFSETS")]
    pub go_offsets: Option<PathBuf>,
    /// Threads, goroutines and other tasks of observed processes that serve or have served requests, at least 1.
    /// What those beyond it call is not linked to what they serve.
    #[config(default = 65536, env = "BPF_MAX_TASKS")]
    pub max_tasks: u32,
    /// Requests that observed processes serve at once, at least 1. Calls made for those beyond it are not linked
    /// to them.
    #[config(default = 16384, env = "BPF_MAX_REQUESTS")]
    pub max_requests: u32,
    /// Items of work on their way from one task to another, at least 1. The oldest make room.
    #[config(default = 16384, env = "BPF_MAX_ITEMS")]
    pub max_items: u32,
    /// How the place of a call in its trace is written into what observed programs send, so that the other end finds
    /// it: `headers` (a `traceparent` header in HTTP/1 requests in clear text), `tcp` (an option of the TCP segment, for
    /// any protocol and TLS, which another vor reads), `headers,tcp` or `all`, or `disabled`. Not set: `disabled`. An
    /// item of `discovery` can say otherwise for what it selects. [propagation.md](propagation.md) tells what that means.
    #[config(env = "BPF_CONTEXT_PROPAGATION")]
    pub context_propagation: Option<Propagation>,
    /// The old form of `context_propagation`: true means `all`.
    #[config(env = "BPF_ENABLE_CONTEXT_PROPAGATION")]
    pub enable_context_propagation: Option<bool>,
    /// A request that has no answer after this time is reported with status 408. 0 waits for ever.
    #[config(default = "30s", env = "BPF_HTTP_REQUEST_TIMEOUT")]
    pub http_request_timeout: Duration,
    /// How programs get to the packets of an interface: `tcx` (links, since Linux 6.6), `tc` (filters of clsact),
    /// or `auto` for links where the kernel has them.
    #[config(default = "auto", env = "BPF_TC_BACKEND")]
    pub traffic_control_backend: Backend,
}

/// The agent that vor has Java virtual machines load (`javaagent`).
#[derive(Debug, Clone, confique::Config)]
pub struct JavaAgentConfig {
    /// Whether observed Java programs get a small agent, by which vor follows requests through executors, queues and
    /// completions of `java.util.concurrent`. It stays in a program until that ends. `HotSpot` only, JDK 8 to 25.
    /// [lineage.md](lineage.md) tells what it does.
    #[config(default = false, env = "JAVAAGENT_ENABLED")]
    pub enabled: bool,
    /// How long a Java virtual machine may take to load it, and a third of the time that it may take to come up.
    #[config(default = "10s", env = "JAVAAGENT_ATTACH_TIMEOUT")]
    pub attach_timeout: Duration,
}

impl JavaAgentConfig {
    /// The time to load it, if it is wanted.
    #[must_use]
    pub fn wanted(&self) -> Option<std::time::Duration> {
        self.enabled.then(|| self.attach_timeout.get())
    }
}

impl ProbeConfig {
    /// How trace context is written by services that do not say otherwise.
    pub fn propagation(&self) -> Result<Propagation, ContradictoryPropagation> {
        match (self.context_propagation, self.enable_context_propagation) {
            (Some(wanted), Some(true)) if !wanted.is_any() => Err(ContradictoryPropagation),
            (Some(wanted), _) => Ok(wanted),
            (None, Some(true)) => Ok(Propagation::ALL),
            (None, _) => Ok(Propagation::DISABLED),
        }
    }
}

/// Two settings say the opposite of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ebpf.context_propagation is `disabled` and ebpf.enable_context_propagation is true: set one of them, \
     `enable_context_propagation: true` is the old way to say `context_propagation: all`"
)]
pub struct ContradictoryPropagation;

/// Which door is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorSetting {
    /// The cheapest that opens.
    #[default]
    Auto,
    /// Only [`Door::Fentry`].
    Fentry,
    /// Only [`Door::Kprobe`].
    Kprobe,
    /// Only [`Door::Syscall`].
    Syscall,
}

impl DoorSetting {
    /// Whether `door` may be tried.
    #[must_use]
    pub const fn allows(self, door: Door) -> bool {
        match self {
            Self::Auto => true,
            Self::Fentry => matches!(door, Door::Fentry),
            Self::Kprobe => matches!(door, Door::Kprobe),
            Self::Syscall => matches!(door, Door::Syscall),
        }
    }
}

impl From<Door> for DoorSetting {
    fn from(door: Door) -> Self {
        match door {
            Door::Fentry => Self::Fentry,
            Door::Kprobe => Self::Kprobe,
            Door::Syscall => Self::Syscall,
        }
    }
}

/// Size of a ring buffer in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "u32")]
pub struct RingSize(u32);

impl RingSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for RingSize {
    type Error = &'static str;

    fn try_from(bytes: u32) -> Result<Self, Self::Error> {
        let fits = (64 << 10..=1 << 30).contains(&bytes);
        if bytes.is_power_of_two() && fits {
            Ok(Self(bytes))
        } else {
            Err("the size of a ring must be a power of two from 65536 to 1073741824")
        }
    }
}

/// Length of a batch of captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "u32")]
pub struct BatchLength(u32);

impl BatchLength {
    /// The length, at least 1.
    #[must_use]
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<u32> for BatchLength {
    type Error = &'static str;

    fn try_from(length: u32) -> Result<Self, Self::Error> {
        if (1..=65_536).contains(&length) {
            Ok(Self(length))
        } else {
            Err("a batch must have room for 1 to 65536 captures")
        }
    }
}

#[cfg(test)]
mod tests {
    use confique::Config;

    use super::*;

    #[test]
    fn the_old_switch_means_all_and_never_the_opposite_of_the_new_one() {
        let with = |new, old| {
            let config = ProbeConfig {
                context_propagation: new,
                enable_context_propagation: old,
                ..ProbeConfig::builder().load().unwrap()
            };
            config.propagation()
        };
        let tcp = Propagation { headers: false, tcp: true };
        assert_eq!(with(None, None), Ok(Propagation::DISABLED));
        assert_eq!(with(None, Some(true)), Ok(Propagation::ALL));
        assert_eq!(with(Some(tcp), Some(true)), Ok(tcp));
        assert_eq!(with(Some(tcp), Some(false)), Ok(tcp));
        assert_eq!(with(Some(Propagation::DISABLED), Some(true)), Err(ContradictoryPropagation));
    }

    #[test]
    fn sizes_that_the_kernel_would_refuse_are_refused() {
        for (bytes, good) in [(65_536, true), (4_194_304, true), (4096, false), (100_000, false)] {
            assert_eq!(RingSize::try_from(bytes).is_ok(), good, "{bytes}");
        }
        assert!(BatchLength::try_from(0).is_err());
    }
}
