// SPDX-License-Identifier: Apache-2.0
//! What a process is called.
//!
//! Strongest first: the process's own `OTEL_SERVICE_NAME`, `service.name` in its `OTEL_RESOURCE_ATTRIBUTES`,
//! the name of the entry that selected it, what is known of its container, the executable's name. Attributes likewise:
//! the process's own, those of its container, those that hold for all.

use std::fs;
use std::sync::Arc;

use vor_config::Propagation;
use vor_model::{Attrs, Key, Process, Service, Workload};

use crate::proc::Environment;
use crate::resource::{MAX_TEXT, ResourceAttributes};

const HOST_NAME: Key = Key::new("host.name");
const HOST_ID: Key = Key::new("host.id");
const CONTAINER_ID: Key = Key::new("container.id");
const NODE_NAME: Key = Key::new("k8s.node.name");
const INSTANCE: Key = Key::new("service.instance.id");
/// Attributes that have fields of their own in a [`Service`].
const IDENTITY: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// What an entry says of what it selects: name, namespace, and how trace context is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) namespace: Option<Arc<str>>,
    /// `None`: as by everybody.
    pub(crate) propagation: Option<Propagation>,
}

/// Names services.
#[derive(Debug)]
pub(crate) struct Naming {
    host: String,
    /// Whether settings say what the host is called.
    host_is_given: bool,
    /// What holds for all services.
    shared: Attrs,
    label: Arc<Label>,
}

/// The name of this host, the kernel's unless it is given, and what is said of it as a resource.
#[must_use]
pub fn host(name: Option<String>) -> (String, Attrs) {
    let uname = rustix::system::uname();
    let host = name.unwrap_or_else(|| uname.nodename().to_string_lossy().into_owned());
    let mut attrs = Attrs::new().with(HOST_NAME, host.clone());
    // The id that systemd gives a machine, as the semantic conventions ask for it.
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if !machine.trim().is_empty() {
        attrs.set(HOST_ID, machine.trim().to_owned());
    }
    (host, attrs)
}

impl Naming {
    pub(crate) fn new(
        hostname: Option<String>,
        own: &ResourceAttributes,
        label: Arc<Label>,
    ) -> Self {
        let host_is_given = hostname.is_some();
        let (host, mut shared) = host(hostname);
        add(&mut shared, own);
        Self { host, host_is_given, shared, label }
    }

    /// What the root's settings call what they select.
    pub(crate) fn label(&self) -> Arc<Label> {
        Arc::clone(&self.label)
    }

    /// What `process` is called, which an entry with `label` selected, and the rule that gave the name.
    pub(crate) fn service(
        &self,
        process: &Process,
        label: &Label,
        env: &Environment,
        container: Option<&str>,
        workload: Option<&Workload>,
    ) -> (Service, &'static str) {
        let own = ResourceAttributes::read(env.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        let exe = process.exe.file_name().unwrap_or(process.exe.as_os_str()).to_string_lossy();
        let given = env.get("OTEL_SERVICE_NAME").filter(|name| name.len() <= MAX_TEXT);
        // What is known of a container need not be a name.
        let known = workload.filter(|known| !known.name.is_empty());
        let named = [
            (given.map(Arc::from), "OTEL_SERVICE_NAME"),
            (own.get("service.name").map(Arc::from), "OTEL_RESOURCE_ATTRIBUTES"),
            (label.name.clone(), "selector"),
            (known.map(|known| Arc::clone(&known.name)), known.map_or("", |known| known.named_by)),
        ];
        let named = named.into_iter().find_map(|(name, by)| Some((name?, by)));
        let auto_name = named.is_none();
        let (name, named_by) = named.unwrap_or_else(|| (exe.into(), "executable"));
        let namespace = own.get("service.namespace").map(Arc::from);
        let instance = own.get("service.instance.id").map(Arc::from);
        let service = Service {
            auto_name,
            name,
            namespace: namespace
                .or_else(|| label.namespace.clone())
                .or_else(|| workload.map(|known| Arc::clone(&known.namespace)))
                .unwrap_or_default(),
            instance: instance
                .or_else(|| instance_of(workload?))
                .unwrap_or_else(|| self.instance(process.key.pid)),
            language: process.language,
            attrs: self.attributes(&own, container, workload),
        };
        (service, named_by)
    }

    fn attributes(
        &self,
        own: &ResourceAttributes,
        container: Option<&str>,
        workload: Option<&Workload>,
    ) -> Attrs {
        let mut attrs = self.shared.clone();
        if let Some(container) = container {
            attrs.set(CONTAINER_ID, container.to_owned());
        }
        if let Some(workload) = workload {
            // A pod's host is its node, whatever the host is called where vor runs.
            let node = workload.attrs.get(&NODE_NAME).filter(|_| !self.host_is_given);
            if let Some(node) = node {
                attrs.set(HOST_NAME, node.clone());
            }
            for (key, value) in workload.attrs.iter().filter(|(key, _)| !is_identity(key.as_str()))
            {
                attrs.set(key.clone(), value.clone());
            }
        }
        add(&mut attrs, own);
        attrs
    }

    /// The service of a process that was forked from one with this `service`.
    pub(crate) fn forked(&self, service: &Service, parent: u32, child: u32) -> Service {
        let mut service = service.clone();
        if service.instance == self.instance(parent) {
            service.instance = self.instance(child);
        }
        service
    }

    fn instance(&self, pid: u32) -> Arc<str> {
        format!("{}:{pid}", self.host).into()
    }
}

/// The instance that a container is, by what is known of it.
fn instance_of(workload: &Workload) -> Option<Arc<str>> {
    workload.attrs.get(&INSTANCE)?.as_str().map(Arc::from)
}

fn is_identity(key: &str) -> bool {
    IDENTITY.contains(&key)
}

fn add(attrs: &mut Attrs, own: &ResourceAttributes) {
    for (key, value) in own.iter().filter(|(key, _)| !is_identity(key)) {
        attrs.set(Key::from(key.to_owned()), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use vor_model::{Language, Mono, ProcessKey, Value};

    use super::*;

    fn named(label: &Label, env: &Environment) -> Service {
        let own = ResourceAttributes::read("team=vor,zone=a,service.name=unused");
        let naming = Naming::new(Some("host-a".into()), &own, Arc::default());
        let process = Process {
            key: ProcessKey { pid: 7, started: Mono(0) },
            ppid: 1,
            exe: "/usr/bin/python3.11".into(),
            language: Language::Python,
        };
        naming.service(&process, label, env, None, None).0
    }

    #[test]
    fn the_strongest_name_counts() {
        let entry = Label {
            name: Some("entry".into()),
            namespace: Some("front".into()),
            ..Label::default()
        };
        let plain = Environment::default();
        let service = named(&Label::default(), &plain);
        assert_eq!((&*service.name, service.auto_name), ("python3.11", true));
        assert_eq!(&*service.instance, "host-a:7");
        let service = named(&entry, &plain);
        assert_eq!(
            (&*service.name, &*service.namespace, service.auto_name),
            ("entry", "front", false)
        );
        let text = "service.name=attr,service.namespace=back,service.instance.id=one";
        let attributes = Environment::from([("OTEL_RESOURCE_ATTRIBUTES", text)]);
        let service = named(&entry, &attributes);
        assert_eq!(service.qualified_name(), "back/attr");
        assert_eq!(&*service.instance, "one");
        let both =
            Environment::from([("OTEL_RESOURCE_ATTRIBUTES", text), ("OTEL_SERVICE_NAME", "env")]);
        assert_eq!(named(&entry, &both).qualified_name(), "back/env");
        let empty = Environment::from([("OTEL_SERVICE_NAME", " ")]);
        assert_eq!(named(&entry, &empty).qualified_name(), "front/entry");
    }

    #[test]
    fn what_is_known_of_a_container_names_what_nobody_else_does() {
        let naming = Naming::new(Some("h".into()), &ResourceAttributes::default(), Arc::default());
        let process = Process {
            key: ProcessKey { pid: 7, started: Mono(0) },
            ppid: 1,
            exe: "/usr/bin/java".into(),
            language: Language::Java,
        };
        let pod = Workload {
            name: "cart".into(),
            namespace: "shop".into(),
            named_by: "deployment",
            attrs: Attrs::new()
                .with(INSTANCE, "shop.cart.main")
                .with(Key::new("team"), "blue")
                .with(NODE_NAME, "node-1"),
            ..Workload::default()
        };
        let named = |label: &Label, env: &Environment, known: &Workload| {
            naming.service(&process, label, env, Some("c1"), Some(known))
        };
        let (service, by) = named(&Label::default(), &Environment::default(), &pod);
        assert_eq!(
            (&*service.qualified_name(), by, service.auto_name),
            ("shop/cart", "deployment", false)
        );
        assert_eq!(&*service.instance, "shop.cart.main");
        let text = |key: &'static str| service.attrs.get(&Key::new(key)).map(ToString::to_string);
        assert_eq!(text("team").as_deref(), Some("blue"));
        assert_eq!(text("container.id").as_deref(), Some("c1"));
        assert_eq!(text("host.name").as_deref(), Some("h"), "settings say what the host is called");
        assert_eq!(text("service.instance.id"), None);
        let label = Label { name: Some("entry".into()), namespace: None, ..Label::default() };
        let (service, by) = named(&label, &Environment::default(), &pod);
        assert_eq!((&*service.qualified_name(), by), ("shop/entry", "selector"));
        let own = Environment::from([("OTEL_RESOURCE_ATTRIBUTES", "team=red,service.name=own")]);
        let (service, by) = named(&label, &own, &pod);
        assert_eq!((&*service.name, by), ("own", "OTEL_RESOURCE_ATTRIBUTES"));
        assert_eq!(service.attrs.get(&Key::new("team")).and_then(Value::as_str), Some("red"));
        let (service, by) = named(&Label::default(), &Environment::default(), &Workload::default());
        assert_eq!((&*service.name, by, service.auto_name), ("java", "executable", true));
    }

    #[test]
    fn a_process_adds_its_attributes_to_those_that_hold_for_all() {
        let env = Environment::from([("OTEL_RESOURCE_ATTRIBUTES", "zone=b,tier=web%20shop")]);
        let service = named(&Label::default(), &env);
        let text =
            |key: &str| service.attrs.get(&Key::from(key.to_owned())).map(ToString::to_string);
        assert_eq!(text("team").as_deref(), Some("vor"));
        assert_eq!(text("zone").as_deref(), Some("b"));
        assert_eq!(text("tier").as_deref(), Some("web shop"));
        assert_eq!(text("host.name").as_deref(), Some("host-a"));
        assert_eq!(text("service.name"), None);
    }

    #[test]
    fn a_forked_process_is_another_instance_of_the_same_service() {
        let naming = Naming::new(Some("h".into()), &ResourceAttributes::default(), Arc::default());
        let mut service = named(&Label::default(), &Environment::default());
        service.instance = "h:7".into();
        assert_eq!(&*naming.forked(&service, 7, 8).instance, "h:8");
        service.instance = "given".into();
        assert_eq!(&*naming.forked(&service, 7, 8).instance, "given");
    }
}
