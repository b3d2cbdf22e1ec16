// SPDX-License-Identifier: Apache-2.0
//! Which processes are wanted: an ordered list of entries, of which the first that matches counts, and a
//! list of exclusions.

use std::path::Path;
use std::sync::Arc;

use vor_config::PortSet;

use crate::config::{DiscoveryConfig, Selector};
use crate::pattern::{Glob, Regexp};
use crate::resource::ResourceAttributes;
use crate::service::{Label, Naming};

/// Settings that stand at the root of the file.
#[derive(Debug, Clone, Default)]
pub struct RootSettings {
    /// `open_port`: processes that listen on one of these.
    pub open_port: PortSet,
    /// `executable_name`: a regular expression over the executable's path.
    pub executable_name: Option<Regexp>,
    /// `auto_target_exe`: a glob over the executable's path.
    pub auto_target_exe: Option<Glob>,
    /// `service_name`: what the processes selected here are called.
    pub service_name: Option<String>,
    /// `service_namespace`: their namespace.
    pub service_namespace: Option<String>,
    /// vor's own `OTEL_RESOURCE_ATTRIBUTES`: they hold for every service that does not say otherwise.
    pub resource_attributes: ResourceAttributes,
    /// `attributes.instance_id.override_hostname`: instead of the name the kernel has.
    pub hostname: Option<String>,
}

/// Which processes are wanted, and what they are called.
#[derive(Debug)]
pub struct Criteria {
    entries: Vec<Entry>,
    excluded: Vec<Entry>,
    family: Option<Family>,
    pub(crate) naming: Naming,
}

#[derive(Debug)]
struct Entry {
    open_ports: PortSet,
    exe: Vec<ExePath>,
    label: Arc<Label>,
}

#[derive(Debug)]
enum ExePath {
    Regexp(Regexp),
    Glob(Glob),
}

#[derive(Debug)]
struct Family {
    pid: u32,
    label: Arc<Label>,
    /// What the ancestor is going to run.
    program: Option<Arc<Path>>,
}

impl Criteria {
    /// The lists of `discovery` in their order, then one entry made of the root's settings, then everything
    /// if the whole system is asked for.
    #[must_use]
    pub fn new(root: RootSettings, config: &DiscoveryConfig) -> Self {
        let own = &root.resource_attributes;
        let label = Arc::new(Label {
            name: root.service_name.as_deref().or(own.get("service.name")).map(Arc::from),
            namespace: root
                .service_namespace
                .as_deref()
                .or(own.get("service.namespace"))
                .map(Arc::from),
        });
        let globs = !config.instrument.is_empty();
        let mut entries: Vec<Entry> = if globs {
            config.instrument.iter().filter_map(Entry::read).collect()
        } else {
            config.services.iter().filter_map(Entry::read).collect()
        };
        let exe: Vec<_> = (root.executable_name.map(ExePath::Regexp).into_iter())
            .chain(root.auto_target_exe.map(ExePath::Glob))
            .collect();
        if !root.open_port.is_empty() || !exe.is_empty() {
            entries.push(Entry { open_ports: root.open_port, exe, label: Arc::clone(&label) });
        }
        if config.system_wide {
            let (open_ports, label) = (PortSet::default(), Arc::clone(&label));
            entries.push(Entry { open_ports, exe: Vec::new(), label });
        }
        let mut excluded: Vec<_> = config.exclude_services.iter().filter_map(Entry::read).collect();
        excluded.extend(config.exclude_instrument.iter().filter_map(Entry::read));
        if globs {
            excluded.extend(config.default_exclude_instrument.iter().filter_map(Entry::read));
        } else {
            excluded.extend(config.default_exclude_services.iter().filter_map(Entry::read));
        }
        let naming = Naming::new(root.hostname, &root.resource_attributes, label);
        Self { entries, excluded, family: None, naming }
    }

    /// The same, and everything that descends from `pid`, from its exec on, whatever else is selected or
    /// excluded. The process must exist when [`Discover::start`](crate::Discover::start) is called.
    #[must_use]
    pub fn descendants_of(mut self, pid: u32) -> Self {
        self.family = Some(Family { pid, label: self.naming.label(), program: None });
        self
    }

    /// The same; as long as the ancestor is a copy of this program, it is taken for `program`, which it is about
    /// to run: so it has a name before it does anything.
    #[must_use]
    pub fn about_to_run(mut self, program: &Path) -> Self {
        if let Some(family) = &mut self.family {
            family.program = Some(Arc::from(program));
        }
        self
    }

    /// Whether nothing can be selected: `open_port`, `executable_name`, `auto_target_exe`,
    /// `discovery.services`, `discovery.instrument` or `discovery.system_wide` must be set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.family.is_none()
    }

    pub(crate) fn family(&self) -> Option<(u32, &Arc<Label>)> {
        self.family.as_ref().map(|family| (family.pid, &family.label))
    }

    pub(crate) fn program(&self) -> Option<&Arc<Path>> {
        self.family.as_ref().and_then(|family| family.program.as_ref())
    }

    /// Whether ports decide at all.
    pub(crate) fn wants_ports(&self) -> bool {
        self.entries.iter().chain(&self.excluded).any(|entry| !entry.open_ports.is_empty())
    }

    /// Whether listening on `port` may decide.
    pub(crate) fn wants_port(&self, port: u16) -> bool {
        self.entries.iter().chain(&self.excluded).any(|entry| entry.open_ports.contains(port))
    }

    /// What a process of this program that listens on these ports is called; none when it is not wanted.
    pub(crate) fn judge(&self, exe: &Path, ports: &[u16]) -> Option<&Arc<Label>> {
        let exe = exe.to_string_lossy();
        let chosen = self.entries.iter().find(|entry| entry.matches(&exe, ports))?;
        let excluded = self.excluded.iter().any(|entry| entry.matches(&exe, ports));
        (!excluded).then_some(&chosen.label)
    }
}

impl Entry {
    /// A selector that can be judged; the others match nothing.
    fn read<P: Clone + Into<ExePath>>(selector: &Selector<P>) -> Option<Self> {
        if !selector.unknowable.is_empty() {
            tracing::warn!(
                keys = %selector.unknowable.join(","),
                "an item of discovery asks for what cannot be known here and matches nothing"
            );
            return None;
        }
        Some(Self {
            open_ports: selector.open_ports.clone(),
            exe: selector.exe_path.clone().map(Into::into).into_iter().collect(),
            label: Arc::new(Label {
                name: selector.name.as_deref().map(Arc::from),
                namespace: selector.namespace.as_deref().map(Arc::from),
            }),
        })
    }

    fn matches(&self, exe: &str, ports: &[u16]) -> bool {
        let listens = || ports.iter().any(|port| self.open_ports.contains(*port));
        self.exe.iter().all(|path| path.matches(exe)) && (self.open_ports.is_empty() || listens())
    }
}

impl ExePath {
    fn matches(&self, exe: &str) -> bool {
        match self {
            Self::Regexp(regexp) => regexp.matches(exe),
            Self::Glob(glob) => glob.matches(exe),
        }
    }
}

impl From<Regexp> for ExePath {
    fn from(regexp: Regexp) -> Self {
        Self::Regexp(regexp)
    }
}

impl From<Glob> for ExePath {
    fn from(glob: Glob) -> Self {
        Self::Glob(glob)
    }
}

#[cfg(test)]
mod tests;
