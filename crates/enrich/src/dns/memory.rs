// SPDX-License-Identifier: Apache-2.0
//! What is known of addresses, for how long.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use vor_health::{Counter, count};
use vor_model::{Mono, Workload};

/// The addresses that were asked for most recently.
#[derive(Debug)]
pub(super) struct Memory {
    hosts: LruCache<IpAddr, Known>,
    /// Who is called so.
    named: fn(&str) -> Workload,
    held: Counter,
}

/// What is known of one.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// `None`: it has no name, or nobody knows yet.
    pub(super) host: Option<Arc<Workload>>,
    /// When this is no longer to be believed.
    pub(super) until: Mono,
    /// How long it was to be believed.
    pub(super) ttl: Duration,
}

impl Memory {
    /// Room for `max` addresses; `held` says how many are taken.
    pub(super) fn new(max: usize, named: fn(&str) -> Workload, held: Counter) -> Self {
        let max = NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN);
        Self { hosts: LruCache::new(max), named, held }
    }

    pub(super) fn get(&mut self, ip: IpAddr) -> Option<&mut Known> {
        self.hosts.get_mut(&ip)
    }

    /// `ip` is called `name`, or nothing, from `now` on for `ttl`.
    pub(super) fn put(&mut self, ip: IpAddr, name: Option<&str>, now: Mono, ttl: Duration) {
        let host = name.map(|name| Arc::new((self.named)(name)));
        self.hosts.put(ip, Known { host, until: after(now, ttl), ttl });
        self.held.set(count(self.hosts.len()));
    }

    pub(super) fn forget(&mut self, ip: IpAddr) {
        self.hosts.pop(&ip);
    }
}

pub(super) fn after(now: Mono, ttl: Duration) -> Mono {
    Mono(now.0.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)))
}

/// The host that is called `name`.
pub(super) fn host(name: &str) -> Workload {
    Workload { name: name.into(), named_by: "dns", ..Workload::default() }
}
