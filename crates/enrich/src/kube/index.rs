// SPDX-License-Identifier: Apache-2.0
//! Which object has an address, and which pod a container belongs to.
//!
//! Several objects may claim one address: an address is used again while the one that had it before is still known,
//! a service may be reached at its nodes' addresses. The best claim counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use vor_model::Workload;

use super::describe::{Around, describe, describe_container};
use super::object::{Job, Kind, Node, Object, Pod};
use super::rules::Rules;

#[derive(Debug)]
pub(super) struct Index {
    rules: Rules,
    cluster: Arc<str>,
    by_ip: HashMap<IpAddr, Vec<Claim>>,
    by_container: HashMap<Arc<str>, Arc<Object>>,
    nodes: HashMap<Arc<str>, Arc<Object>>,
    jobs: HashMap<Arc<str>, Arc<Object>>,
    /// Rises when descriptions made before may be wrong: a node, a job or the cluster's name is another.
    epoch: u64,
    known: [u64; 4],
}

#[derive(Debug)]
struct Claim {
    object: Arc<Object>,
    /// Whether the object still exists.
    alive: bool,
    described: Option<(u64, Arc<Workload>)>,
}

impl Claim {
    /// Claims in order: what exists, then pods before nodes before services, then who began last.
    fn rank(&self) -> (bool, u8, &str) {
        match &*self.object {
            Object::Pod(pod) => (self.alive, 2, &pod.started),
            Object::Node(_) => (self.alive, 1, ""),
            Object::Service(_) | Object::Job(_) => (self.alive, 0, ""),
        }
    }
}

impl Index {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            cluster: Arc::clone(rules.cluster()),
            rules,
            by_ip: HashMap::new(),
            by_container: HashMap::new(),
            nodes: HashMap::new(),
            jobs: HashMap::new(),
            epoch: 0,
            known: [0; 4],
        }
    }

    pub(super) const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn name_cluster(&mut self, name: &str) {
        self.cluster = Arc::from(name);
        self.epoch += 1;
    }

    /// `object` takes the place of `old`. True when containers may be told otherwise than before.
    pub(super) fn replace(&mut self, old: Option<&Arc<Object>>, object: &Arc<Object>) -> bool {
        match old {
            Some(old) => self.forget(old),
            None => self.count(object.kind(), 1),
        }
        for ip in object.own_ips() {
            let claim = Claim { object: Arc::clone(object), alive: true, described: None };
            self.by_ip.entry(*ip).or_default().push(claim);
        }
        match &**object {
            Object::Pod(pod) => {
                for id in ids(pod) {
                    self.by_container.insert(Arc::clone(id), Arc::clone(object));
                }
                !pod.containers.is_empty()
            }
            Object::Node(node) => {
                self.nodes.insert(Arc::clone(&node.meta.name), Arc::clone(object));
                self.epoch += 1;
                true
            }
            Object::Job(job) => {
                self.jobs.insert(Arc::clone(&job.meta.uid), Arc::clone(object));
                self.epoch += 1;
                true
            }
            Object::Service(_) => false,
        }
    }

    /// `object` exists no more, but is found until it is forgotten, unless another has its place.
    pub(super) fn depart(&mut self, object: &Arc<Object>) {
        self.count(object.kind(), -1);
        for ip in object.own_ips() {
            let claims = self.by_ip.get_mut(ip).into_iter().flatten();
            for claim in claims.filter(|claim| Arc::ptr_eq(&claim.object, object)) {
                claim.alive = false;
            }
        }
    }

    /// `object` is found no more.
    pub(super) fn forget(&mut self, object: &Arc<Object>) {
        for ip in object.own_ips() {
            let Some(claims) = self.by_ip.get_mut(ip) else { continue };
            claims.retain(|claim| !Arc::ptr_eq(&claim.object, object));
            if claims.is_empty() {
                self.by_ip.remove(ip);
            }
        }
        match &**object {
            Object::Pod(pod) => {
                for id in ids(pod) {
                    forget_if_same(&mut self.by_container, id, object);
                }
            }
            Object::Node(node) => forget_if_same(&mut self.nodes, &node.meta.name, object),
            Object::Job(job) => forget_if_same(&mut self.jobs, &job.meta.uid, object),
            Object::Service(_) => {}
        }
    }

    /// Who has this address.
    pub(super) fn at(&mut self, ip: IpAddr) -> Option<Arc<Workload>> {
        let claims = self.by_ip.get(&ip)?;
        let best = (0..claims.len()).max_by_key(|at| claims.get(*at).map(Claim::rank))?;
        let claim = claims.get(best)?;
        if let Some((epoch, workload)) = &claim.described
            && *epoch == self.epoch
        {
            return Some(Arc::clone(workload));
        }
        let workload = Arc::new(describe(&claim.object, &self.around(&claim.object)));
        let claim = self.by_ip.get_mut(&ip)?.get_mut(best)?;
        claim.described = Some((self.epoch, Arc::clone(&workload)));
        Some(workload)
    }

    /// Whose container this is.
    pub(super) fn of(&self, container: &str) -> Option<Arc<Workload>> {
        let object = self.by_container.get(container)?;
        let Object::Pod(pod) = &**object else { return None };
        let found = pod.containers.iter().find(|known| *known.id == *container)?;
        Some(Arc::new(describe_container(pod, found, &self.around(object))))
    }

    pub(super) fn known(&self, kind: Kind) -> u64 {
        slot(kind).and_then(|at| self.known.get(at)).copied().unwrap_or_default()
    }

    pub(super) fn addresses(&self) -> usize {
        self.by_ip.len()
    }

    pub(super) fn containers(&self) -> usize {
        self.by_container.len()
    }

    fn around(&self, object: &Object) -> Around<'_> {
        let (node, job) = match object {
            Object::Pod(pod) => (self.node(&pod.node), self.job(pod)),
            Object::Node(_) | Object::Service(_) | Object::Job(_) => (None, None),
        };
        Around { rules: &self.rules, cluster: &self.cluster, node, job }
    }

    fn node(&self, name: &str) -> Option<&Node> {
        match &**self.nodes.get(name)? {
            Object::Node(node) => Some(node),
            Object::Pod(_) | Object::Service(_) | Object::Job(_) => None,
        }
    }

    fn job(&self, pod: &Pod) -> Option<&Job> {
        match &**self.jobs.get(&pod.meta.owner.as_ref()?.uid)? {
            Object::Job(job) => Some(job),
            Object::Pod(_) | Object::Service(_) | Object::Node(_) => None,
        }
    }

    fn count(&mut self, kind: Kind, step: i64) {
        if let Some(known) = slot(kind).and_then(|at| self.known.get_mut(at)) {
            *known = known.saturating_add_signed(step);
        }
    }
}

fn slot(kind: Kind) -> Option<usize> {
    Kind::ALL.iter().position(|known| *known == kind)
}

/// Ids of the containers that have begun.
fn ids(pod: &Pod) -> impl Iterator<Item = &Arc<str>> {
    pod.containers.iter().map(|container| &container.id).filter(|id| !id.is_empty())
}

fn forget_if_same(
    table: &mut HashMap<Arc<str>, Arc<Object>>,
    key: &Arc<str>,
    object: &Arc<Object>,
) {
    if table.get(key).is_some_and(|known| Arc::ptr_eq(known, object)) {
        table.remove(key);
    }
}
