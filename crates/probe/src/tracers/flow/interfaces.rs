// SPDX-License-Identifier: Apache-2.0
//! The interfaces of one network namespace that are watched, as they come and go.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::attach::{self, Attached, Attacher};
use super::config::{Backend, FlowConfig, Listen};
use super::instance::Instance;
use super::links::{Change, Link, Links};
use super::spaces::Space;
use super::watch::Names;

/// One namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) space: Space,
    links: Links,
    instance: Instance,
    watched: BTreeMap<u32, Interface>,
    addresses: Vec<IpAddr>,
}

/// One interface.
#[derive(Debug)]
struct Interface {
    name: Arc<str>,
    attached: Vec<Attached>,
}

/// What interfaces of all namespaces have in common.
#[derive(Debug)]
pub(super) struct Watching<'a> {
    pub(super) config: &'a FlowConfig,
    pub(super) attacher: &'a mut Attacher,
    /// The namespace that the thread belongs to.
    pub(super) home: &'a Space,
    pub(super) names: &'a mut Names,
    /// What could not be watched.
    pub(super) refused: Vec<(String, io::Error)>,
}

impl Namespace {
    pub(super) fn open(
        space: Space,
        instance: Instance,
        home: &Space,
        config: &FlowConfig,
    ) -> io::Result<Self> {
        let watch = config.listen != Listen::Poll;
        let links = space.within(home, || Links::open(watch))?;
        Ok(Self { space, links, instance, watched: BTreeMap::new(), addresses: Vec::new() })
    }

    /// Readable when interfaces have changed.
    pub(super) fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.links.wakes()
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(super) fn count(&self) -> usize {
        self.watched.len()
    }

    pub(super) fn has(&self, index: u32) -> bool {
        self.watched.contains_key(&index)
    }

    pub(super) const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Compares with the kernel's list.
    pub(super) fn look(&mut self, watching: &mut Watching<'_>) -> io::Result<()> {
        let links = self.links.list()?;
        let there = |index: &u32| links.iter().any(|link| link.index == *index);
        let gone: Vec<_> = self.watched.keys().copied().filter(|index| !there(index)).collect();
        for index in gone {
            self.watched.remove(&index);
        }
        for link in links {
            self.is(link, watching);
        }
        self.addresses = self.links.addresses()?;
        Ok(())
    }

    /// Takes in what the kernel has told since the last call.
    pub(super) fn hear(&mut self, watching: &mut Watching<'_>) -> io::Result<()> {
        for change in self.links.changes() {
            match change {
                Change::Is(link) => self.is(link, watching),
                Change::Gone(index) => {
                    self.watched.remove(&index);
                }
                Change::Addresses => self.addresses = self.links.addresses()?,
                Change::Lost => self.look(watching)?,
            }
        }
        Ok(())
    }

    fn is(&mut self, link: Link, watching: &mut Watching<'_>) {
        let config = watching.config;
        let chosen = config.interfaces.is_empty() || config.interfaces.contains(&link.name);
        let wanted = chosen && !config.exclude_interfaces.contains(&link.name) && link.up;
        if !wanted {
            self.leave(link.index, watching);
            return;
        }
        let name: Arc<str> = link.name.as_str().into();
        // Before its first packet is counted.
        watching.names.set(self.space.id, link.index, Arc::clone(&name));
        if let Some(known) = self.watched.get_mut(&link.index) {
            known.name = name;
            return;
        }
        match self.watch(&link, watching) {
            Ok(attached) => {
                tracing::debug!(iface = %name, netns = self.space.id, "watching");
                self.watched.insert(link.index, Interface { name, attached });
            }
            Err(error) => watching.refused.push((link.name, error)),
        }
    }

    fn watch(&self, link: &Link, watching: &mut Watching<'_>) -> io::Result<Vec<Attached>> {
        let Some(programs) = self.instance.programs(link.layer) else {
            return Err(io::Error::other(format!("its packets are not read: {:?}", link.layer)));
        };
        let hooks = &mut *watching.attacher;
        let (links, index) = (&self.links, link.index);
        self.space.within(watching.home, || {
            let attached = hooks.attach(index, programs)?;
            if hooks.backend == Backend::Tc {
                attach::remove_leftovers(links, index)?;
            }
            Ok(attached)
        })
    }

    fn leave(&mut self, index: u32, watching: &Watching<'_>) {
        let Some(interface) = self.watched.remove(&index) else { return };
        if !interface.attached.iter().any(Attached::stays) {
            return;
        }
        let links = &self.links;
        let left = self.space.within(watching.home, || {
            interface.attached.into_iter().try_for_each(Attached::remove)?;
            attach::remove_empty(links, index)
        });
        if let Err(error) = left {
            tracing::debug!(iface = %interface.name, %error, "programs may be left behind");
        }
    }

    /// Takes all programs out.
    pub(super) fn close(&mut self, watching: &Watching<'_>) {
        let all: Vec<_> = self.watched.keys().copied().collect();
        for index in all {
            self.leave(index, watching);
        }
    }
}
