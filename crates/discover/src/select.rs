// SPDX-License-Identifier: Apache-2.0
//! Which processes are wanted: an ordered list of entries, of which the first that matches counts, and a
//! list of exclusions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use vor_config::{PortSet, Propagation};
use vor_model::{Key, Labels, Value, Workload};

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

/// Conditions, all of which must hold.
#[derive(Debug, Default)]
struct Entry {
    open_ports: PortSet,
    exe: Vec<Pattern>,
    containers_only: bool,
    metadata: Vec<(Key, Pattern)>,
    labels: Vec<(String, Pattern)>,
    annotations: Vec<(String, Pattern)>,
    label: Arc<Label>,
}

#[derive(Debug, Clone)]
enum Pattern {
    Regexp(Regexp),
    Glob(Glob),
}

/// What decides whether a process is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) exe: &'a Path,
    /// Ports it listens on.
    pub(crate) ports: &'a [u16],
    pub(crate) in_container: bool,
    /// What is known of its container.
    pub(crate) workload: Option<&'a Workload>,
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
            propagation: None,
        });
        let globs = !config.instrument.is_empty();
        let mut entries: Vec<Entry> = if globs {
            config.instrument.iter().filter_map(Entry::read).collect()
        } else {
            config.services.iter().filter_map(Entry::read).collect()
        };
        let exe: Vec<_> = (root.executable_name.map(Pattern::Regexp).into_iter())
            .chain(root.auto_target_exe.map(Pattern::Glob))
            .collect();
        if !root.open_port.is_empty() || !exe.is_empty() {
            let (open_ports, label) = (root.open_port, Arc::clone(&label));
            entries.push(Entry { open_ports, exe, label, ..Entry::default() });
        }
        if config.system_wide {
            entries.push(Entry { label: Arc::clone(&label), ..Entry::default() });
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

    /// Everything that any entry asks for in the writing of trace context, where entries that say nothing about it
    /// ask for `usual`.
    #[must_use]
    pub fn propagation(&self, usual: Propagation) -> Propagation {
        let asked = |label: &Arc<Label>| label.propagation.unwrap_or(usual);
        let family = self.family.iter().map(|family| asked(&family.label));
        let entries = self.entries.iter().map(|entry| asked(&entry.label));
        entries.chain(family).fold(Propagation::DISABLED, Propagation::or)
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

    /// Whether the container that a process is in may decide.
    pub(crate) fn wants_containers(&self) -> bool {
        self.entries.iter().chain(&self.excluded).any(Entry::asks_for_containers)
    }

    /// What a process with these facts is called; none when it is not wanted.
    pub(crate) fn judge(&self, facts: &Facts<'_>) -> Option<&Arc<Label>> {
        let exe = facts.exe.to_string_lossy();
        let chosen = self.entries.iter().find(|entry| entry.matches(&exe, facts))?;
        let excluded = self.excluded.iter().any(|entry| entry.matches(&exe, facts));
        (!excluded).then_some(&chosen.label)
    }
}

impl Entry {
    /// A selector that can be judged; the others match nothing.
    fn read<P: Clone + Into<Pattern>>(selector: &Selector<P>) -> Option<Self> {
        if !selector.unknowable.is_empty() {
            tracing::warn!(
                keys = %selector.unknowable.join(","),
                "an item of discovery asks for what cannot be known here and matches nothing"
            );
            return None;
        }
        let texts = |section: &BTreeMap<String, P>| {
            section.iter().map(|(key, wanted)| (key.clone(), wanted.clone().into())).collect()
        };
        let metadata = selector.metadata.iter().cloned();
        Some(Self {
            open_ports: selector.open_ports.clone(),
            exe: selector.exe_path.clone().map(Into::into).into_iter().collect(),
            containers_only: selector.containers_only,
            metadata: metadata.map(|(key, wanted)| (key, wanted.into())).collect(),
            labels: texts(&selector.labels),
            annotations: texts(&selector.annotations),
            label: Arc::new(Label {
                name: selector.name.as_deref().map(Arc::from),
                namespace: selector.namespace.as_deref().map(Arc::from),
                propagation: selector.propagation,
            }),
        })
    }

    fn matches(&self, exe: &str, facts: &Facts<'_>) -> bool {
        let listens = || facts.ports.iter().any(|port| self.open_ports.contains(*port));
        self.exe.iter().all(|path| path.matches(exe))
            && (self.open_ports.is_empty() || listens())
            && (!self.containers_only || facts.in_container)
            && self.describes(facts.workload)
    }

    /// Whether what is known of the container is what is asked for. What is not known does not match.
    fn describes(&self, workload: Option<&Workload>) -> bool {
        let Some(workload) = workload else { return !self.asks_for_metadata() };
        let attribute = |key| workload.attrs.get(key).and_then(Value::as_str);
        let is = |wanted: &Pattern, found: Option<&str>| found.is_some_and(|it| wanted.matches(it));
        let all = |wanted: &[(String, Pattern)], known: &Labels| {
            wanted.iter().all(|(key, wanted)| is(wanted, known.get(key).map(|value| &**value)))
        };
        self.metadata.iter().all(|(key, wanted)| is(wanted, attribute(key)))
            && all(&self.labels, &workload.labels)
            && all(&self.annotations, &workload.annotations)
    }

    fn asks_for_metadata(&self) -> bool {
        !(self.metadata.is_empty() && self.labels.is_empty() && self.annotations.is_empty())
    }

    fn asks_for_containers(&self) -> bool {
        self.containers_only || self.asks_for_metadata()
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Regexp(regexp) => regexp.matches(text),
            Self::Glob(glob) => glob.matches(text),
        }
    }
}

impl From<Regexp> for Pattern {
    fn from(regexp: Regexp) -> Self {
        Self::Regexp(regexp)
    }
}

impl From<Glob> for Pattern {
    fn from(glob: Glob) -> Self {
        Self::Glob(glob)
    }
}

#[cfg(test)]
mod tests;
