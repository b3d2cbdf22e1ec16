// SPDX-License-Identifier: Apache-2.0
//! Which interfaces of which namespaces are watched.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use libbpf_rs::MapHandle;
use rustix::event::epoll;
use vor_health::{Board, Counter, count};

use super::attach::Attacher;
use super::config::{Direction, FlowConfig};
use super::instance::{Constants, Instance};
use super::interfaces::{Namespace, Watching};
use super::sockets::Addresses;
use super::spaces::{self, Space};
use super::{FlowError, STAGE};
use crate::object::ObjectError;
use crate::tracers::wire::{FLOW_EGRESS, FLOW_INGRESS};

/// Names of interfaces by namespace and index; of those that are gone, until their last flows are reported.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<(u32, u32), Arc<str>>);

impl Names {
    pub(super) fn get(&self, netns: u32, iface: u32) -> Option<Arc<str>> {
        self.0.get(&(netns, iface)).map(Arc::clone)
    }

    pub(super) fn set(&mut self, netns: u32, iface: u32, name: Arc<str>) {
        self.0.insert((netns, iface), name);
    }
}

/// All that is watched.
pub(super) struct Watch {
    home: Space,
    attacher: Attacher,
    namespaces: BTreeMap<u32, Namespace>,
    names: Rc<RefCell<Names>>,
    /// What has been complained about.
    refused: BTreeSet<String>,
    interfaces: Counter,
    spaces: Counter,
    refusals: Counter,
}

impl Watch {
    /// Loads the programs for our own namespace; nothing is watched yet.
    pub(super) fn open(config: &FlowConfig, board: &Board) -> Result<Self, FlowError> {
        let home = Space::own().map_err(FlowError::Links)?;
        let object = |error: ObjectError| FlowError::Object { origin: config.source, error };
        let instance =
            Instance::load(config.source, constants(config, home.id), &sizes(config), None)
                .map_err(object)?;
        let attacher = Attacher {
            source: config.source,
            direction: config.direction,
            backend: config.backend,
        };
        let own = Space::own().map_err(FlowError::Links)?;
        let id = own.id;
        let namespace = Namespace::open(own, instance, &home, config).map_err(FlowError::Links)?;
        let count = |what| board.counter(STAGE, what);
        Ok(Self {
            home,
            attacher,
            namespaces: BTreeMap::from([(id, namespace)]),
            names: Rc::default(),
            refused: BTreeSet::new(),
            interfaces: count("interfaces"),
            spaces: count("namespaces"),
            refusals: count("interfaces.refused"),
        })
    }

    /// Watches what is there now. Fails when nothing of it can be.
    pub(super) fn begin(&mut self, config: &FlowConfig) -> Result<(), FlowError> {
        let mut first = None;
        self.each(config, |namespace, watching| {
            namespace.look(watching)?;
            first = watching.refused.pop();
            Ok(())
        })
        .map_err(FlowError::Links)?;
        let none = self.namespaces.values().all(|namespace| namespace.count() == 0);
        if let Some((name, error)) = first.filter(|_| none) {
            return Err(FlowError::Interface { origin: config.source, name, error });
        }
        self.find(config);
        Ok(())
    }

    pub(super) fn map(&self, name: &'static str) -> Result<MapHandle, ObjectError> {
        let home = self.namespaces.get(&self.home.id).ok_or(ObjectError::Name(name))?;
        home.instance().map(name)
    }

    pub(super) fn names(&self) -> Rc<RefCell<Names>> {
        Rc::clone(&self.names)
    }

    /// Lets `wakes` tell when interfaces have changed.
    pub(super) fn wake_by(&self, wakes: &OwnedFd) -> io::Result<()> {
        for (id, namespace) in &self.namespaces {
            let Some(fd) = namespace.wakes() else { continue };
            let about = epoll::EventData::new_u64((*id).into());
            match epoll::add(wakes, fd, about, epoll::EventFlags::IN) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes in what a namespace has told.
    pub(super) fn hear(&mut self, id: u32, config: &FlowConfig) {
        let Some(mut namespace) = self.namespaces.remove(&id) else { return };
        let heard = self.one(&mut namespace, config, Namespace::hear);
        self.namespaces.insert(id, namespace);
        self.report(id, heard);
    }

    /// Lists interfaces and namespaces.
    pub(super) fn look(&mut self, config: &FlowConfig, wakes: &OwnedFd) {
        if let Err(error) = self.each(config, Namespace::look) {
            tracing::warn!(%error, "interfaces could not be listed");
        }
        self.find(config);
        if let Err(error) = self.wake_by(wakes) {
            tracing::warn!(%error, "new interfaces are found by listing only");
        }
    }

    /// Lets go of namespaces that nobody else keeps.
    pub(super) fn tick(&mut self) {
        let id = |(id, namespace): (&u32, &Namespace)| (!namespace.space.is_kept()).then_some(*id);
        let doubtful: Vec<_> = self.namespaces.iter().filter_map(id).collect();
        if doubtful.is_empty() {
            return;
        }
        let mut all = match spaces::all() {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!(%error, "namespaces could not be listed");
                return;
            }
        };
        for id in doubtful {
            match (all.remove(&id), self.namespaces.get_mut(&id)) {
                (Some(witness), Some(namespace)) => namespace.space.keep_by(witness),
                // Its interfaces go with it, and our programs with them.
                _ => drop(self.namespaces.remove(&id)),
            }
        }
        self.gauge();
    }

    /// Which namespaces have an address.
    pub(super) fn addresses(&self) -> Addresses {
        let mut all = Addresses::new();
        for (id, namespace) in &self.namespaces {
            for ip in namespace.addresses() {
                all.entry(*ip).or_default().push(*id);
            }
        }
        all
    }

    /// Forgets the names of interfaces that are gone.
    pub(super) fn forget(&mut self) {
        let namespaces = &self.namespaces;
        self.names.borrow_mut().0.retain(|(netns, iface), _| {
            namespaces.get(netns).is_some_and(|namespace| namespace.has(*iface))
        });
    }

    /// Takes all programs out.
    pub(super) fn close(&mut self, config: &FlowConfig) {
        let mut namespaces = std::mem::take(&mut self.namespaces);
        for namespace in namespaces.values_mut() {
            let closed = self.one(namespace, config, |namespace, watching| {
                namespace.close(watching);
                Ok(())
            });
            self.report(namespace.space.id, closed);
        }
        // Their maps are still needed.
        self.namespaces = namespaces;
    }

    /// Watches new namespaces, where that is wanted.
    fn find(&mut self, config: &FlowConfig) {
        if config.all_namespaces {
            match spaces::all() {
                Ok(all) => {
                    for (id, witness) in all {
                        if !self.namespaces.contains_key(&id) {
                            self.enter(id, witness, config);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "namespaces could not be listed"),
            }
        }
        self.gauge();
    }

    fn enter(&mut self, id: u32, witness: PathBuf, config: &FlowConfig) {
        let entered = self.namespace(id, witness, config);
        let mut namespace = match entered {
            Ok(namespace) => namespace,
            Err(error) => {
                self.complain(&format!("netns {id}"), &error);
                return;
            }
        };
        let looked = self.one(&mut namespace, config, Namespace::look);
        self.namespaces.insert(id, namespace);
        self.report(id, looked);
    }

    fn namespace(&self, id: u32, witness: PathBuf, config: &FlowConfig) -> io::Result<Namespace> {
        let space = Space::open(witness)?;
        if space.id != id {
            return Err(io::Error::other("it was gone before it could be opened"));
        }
        let home = self.namespaces.get(&self.home.id);
        let first = home.map(Namespace::instance);
        let instance = Instance::load(config.source, constants(config, id), &[], first);
        Namespace::open(space, instance.map_err(io::Error::other)?, &self.home, config)
    }

    fn each(
        &mut self,
        config: &FlowConfig,
        mut act: impl FnMut(&mut Namespace, &mut Watching<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut namespaces = std::mem::take(&mut self.namespaces);
        let mut done = Ok(());
        for namespace in namespaces.values_mut() {
            done = done.and(self.one(namespace, config, &mut act));
        }
        self.namespaces = namespaces;
        self.gauge();
        done
    }

    fn one(
        &mut self,
        namespace: &mut Namespace,
        config: &FlowConfig,
        act: impl FnOnce(&mut Namespace, &mut Watching<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let names = Rc::clone(&self.names);
        let mut watching = Watching {
            config,
            attacher: &mut self.attacher,
            home: &self.home,
            names: &mut names.borrow_mut(),
            refused: Vec::new(),
        };
        let done = act(namespace, &mut watching);
        for (name, error) in watching.refused {
            self.complain(&name, &error);
        }
        done
    }

    fn report(&mut self, id: u32, done: io::Result<()>) {
        if let Err(error) = done {
            self.complain(&format!("netns {id}"), &error);
        }
        self.gauge();
    }

    /// Once per cause.
    fn complain(&mut self, what: &str, error: &io::Error) {
        self.refusals.inc();
        if self.refused.len() < MOST_COMPLAINTS && self.refused.insert(format!("{what}: {error}")) {
            tracing::warn!(what, %error, "not watched");
        }
    }

    fn gauge(&self) {
        let interfaces = self.namespaces.values().map(Namespace::count).sum();
        self.interfaces.set(count(interfaces));
        self.spaces.set(count(self.namespaces.len()));
    }
}

/// Complaints that are remembered so that they are not repeated.
const MOST_COMPLAINTS: usize = 256;

fn constants(config: &FlowConfig, netns: u32) -> Constants {
    let passages = match config.direction {
        Direction::Both => FLOW_INGRESS | FLOW_EGRESS,
        Direction::Ingress => FLOW_INGRESS,
        Direction::Egress => FLOW_EGRESS,
    };
    Constants {
        netns,
        sampling: config.sampling,
        // Two bits.
        passages: u8::try_from(passages).unwrap_or_default(),
        inner: u8::from(config.tunnels == super::config::Tunnels::Inner),
        dns: u8::from(config.dns),
        _pad: 0,
    }
}

fn sizes(config: &FlowConfig) -> Vec<(&'static str, u32)> {
    let flows = config.max_flows.get();
    ["flow_even", "flow_odd", "flow_pairs", "flow_fragments"].map(|map| (map, flows)).into()
}
