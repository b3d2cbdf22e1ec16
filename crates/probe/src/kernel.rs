// SPDX-License-Identifier: Apache-2.0
//! What this kernel and these privileges allow, found by trying.

use std::fs;

use libbpf_rs::btf::Btf;
use libbpf_rs::{MapType, ProgramType};
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};
use serde::Serialize;

use crate::config::ProbeConfig;
use crate::object::{Shared, listen};
use crate::pseudofs::{self, Tracefs};
use crate::running::Loader;
use crate::runtimes;
use crate::tracers::{self, Door, flow, propagate};
use crate::{DoorSetting, ProbeError};

/// Capabilities without which no program can be loaded. `CAP_SYS_ADMIN` stands for all of them.
const NEEDED: [(CapabilitySet, &str); 2] =
    [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")];

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Kernel release, as `uname -r`.
    pub release: String,
    /// Machine, as `uname -m`.
    pub machine: String,
    /// Whether the process is root.
    pub root: bool,
    /// Effective capabilities, without their `CAP_`.
    pub capabilities: Vec<String>,
    /// Type information of the kernel.
    pub btf: Finding,
    /// Lockdown mode: `none`, `integrity` or `confidentiality`; `unknown` when it cannot be read, which is so
    /// on a kernel without lockdown too.
    pub lockdown: String,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u32>,
    /// Bytes that may be locked in memory, `None` when unlimited. Counts on kernels before 5.11 only.
    pub memlock: Option<u64>,
    /// Where the version 2 control group tree is mounted.
    pub cgroup2: Option<String>,
    /// The list of tracepoints.
    pub tracefs: Finding,
    /// Ring buffers (5.8).
    pub ring_buffer: Finding,
    /// Storage in tasks (5.11).
    pub task_storage: Finding,
    /// Dynamic probes of kernel functions.
    pub kprobes: Finding,
    /// Writing to the memory of programs. Nothing uses it until it is configured.
    pub probe_write_user: Finding,
    /// Each door of each unit that has doors.
    pub doors: Vec<DoorReport>,
    /// Each unit that has no doors.
    pub units: Vec<UnitReport>,
}

/// Whether something is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "why")]
pub enum Finding {
    /// It is.
    There,
    /// It is not; says why.
    Missing(String),
}

impl Finding {
    fn of<E: std::fmt::Display>(tried: Result<(), E>) -> Self {
        tried.map_or_else(|error| Self::Missing(format!("{error:#}")), |()| Self::There)
    }

    fn when(there: bool, why_not: &str) -> Self {
        if there { Self::There } else { Self::Missing(why_not.to_owned()) }
    }

    fn supported(answer: libbpf_rs::Result<bool>) -> Self {
        match answer {
            Ok(there) => Self::when(there, "the kernel refuses it"),
            Err(error) => Self::Missing(format!("{error:#}")),
        }
    }

    /// Whether it is there.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        matches!(self, Self::There)
    }
}

/// One door of one unit.
#[derive(Debug, Clone, Serialize)]
pub struct DoorReport {
    /// The unit.
    pub unit: &'static str,
    /// The door.
    pub door: Door,
    /// Whether it opens.
    pub opens: Finding,
    /// Whether it is the one that would be taken.
    pub taken: bool,
}

/// One unit that has no doors.
#[derive(Debug, Clone, Serialize)]
pub struct UnitReport {
    /// The unit.
    pub unit: &'static str,
    /// Whether it can be loaded.
    pub loads: Finding,
}

impl Report {
    /// Looks. Loads and attaches every object for a moment; nothing is observed meanwhile.
    #[must_use]
    pub fn gather(config: &ProbeConfig) -> Self {
        listen();
        let system = uname();
        let kernel = Btf::from_vmlinux();
        let mut report = Self {
            release: system.release().to_string_lossy().into_owned(),
            machine: system.machine().to_string_lossy().into_owned(),
            root: rustix::process::geteuid().is_root(),
            capabilities: effective().iter_names().map(|(name, _)| name.to_owned()).collect(),
            btf: kernel
                .as_ref()
                .map_or_else(|error| Finding::Missing(format!("{error:#}")), |_| Finding::There),
            lockdown: lockdown(),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            memlock: getrlimit(Resource::Memlock).current,
            cgroup2: pseudofs::cgroups_mounted(),
            tracefs: Finding::of(Tracefs::open().map(drop)),
            ring_buffer: Finding::supported(MapType::RingBuf.is_supported()),
            task_storage: Finding::supported(MapType::TaskStorage.is_supported()),
            kprobes: Finding::of(pseudofs::has_kprobes()),
            probe_write_user: probe_write_user(),
            doors: Vec::new(),
            units: Vec::new(),
        };
        if let Ok(kernel) = kernel {
            report.try_units(config, &kernel);
        }
        report
    }

    fn try_units(&mut self, config: &ProbeConfig, kernel: &Btf<'_>) {
        let mut shared = Shared::default();
        let mut loader = Loader::new(config, kernel, &mut shared);
        for unit in tracers::ALL.iter().chain(propagate::ALL).chain(runtimes::ALL) {
            let mut taken = false;
            for object in unit.objects {
                let opens = Finding::of(loader.open(unit, object).map(drop));
                let Some(door) = object.door else {
                    self.units.push(UnitReport { unit: unit.name, loads: opens });
                    continue;
                };
                let first = !taken && opens.is_there() && config.door.allows(door);
                taken |= first;
                self.doors.push(DoorReport { unit: unit.name, door, opens, taken: first });
            }
        }
        for (unit, loaded) in flow::check() {
            self.units.push(UnitReport { unit, loads: Finding::of(loaded) });
        }
    }

    /// Whether vor can observe programs here with `door`.
    #[must_use]
    pub fn can_run(&self, door: DoorSetting) -> bool {
        self.doors.iter().any(|found| found.opens.is_there() && door.allows(found.door))
    }
}

fn probe_write_user() -> Finding {
    // Without privileges libbpf cannot tell, and says yes.
    if let Err(error) = require_privileges() {
        return Finding::Missing(error.to_string());
    }
    let helper = libbpf_sys::BPF_FUNC_probe_write_user;
    Finding::supported(ProgramType::Kprobe.is_helper_supported(helper))
}

/// Says which capabilities are missing to load programs.
pub(crate) fn require_privileges() -> Result<(), ProbeError> {
    let has = effective();
    if has.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(());
    }
    let missing = |(capability, name): &(CapabilitySet, &'static str)| {
        (!has.contains(*capability)).then_some(*name)
    };
    let missing: Vec<_> = NEEDED.iter().filter_map(missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ProbeError::Privilege(missing.join(" and ")))
}

fn effective() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// The mode in brackets of `none [integrity] confidentiality`.
fn lockdown() -> String {
    let modes = pseudofs::lockdown().unwrap_or_default();
    let chosen = modes.split(['[', ']']).nth(1);
    chosen.unwrap_or("unknown").to_owned()
}

fn number(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
