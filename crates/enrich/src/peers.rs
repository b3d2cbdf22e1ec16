// SPDX-License-Identifier: Apache-2.0
//! Names for the other ends of spans (`name_resolver`): from the cluster first, then from DNS.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use vor_config::Duration;
use vor_health::Board;
use vor_model::{ProcessKey, Workload};
use vor_pipeline::Directory;

use crate::Names;
use crate::dns::Resolver;

/// Its name on the board, where it asks name servers.
const STAGE: &str = "name_resolver";

/// Where names for addresses in spans come from (`name_resolver`).
#[derive(Debug, Clone, confique::Config)]
pub struct NameResolverConfig {
    /// Who is asked, in this order whatever the order here: `k8s` (the cluster, where one is followed), `dns` (the
    /// system's name servers, beside the pipeline: the first span of an address has no name yet). An empty list: addresses
    /// stay as they are.
    #[config(default = ["k8s"], env = "NAME_RESOLVER_SOURCES")]
    pub sources: Vec<NameSource>,
    /// Addresses of which names from DNS are remembered, at least 1.
    #[config(default = 1024, env = "NAME_RESOLVER_CACHE_LEN")]
    pub cache_len: usize,
    /// How long a name from DNS is remembered.
    #[config(default = "5m", env = "NAME_RESOLVER_CACHE_TTL")]
    pub cache_expiry: Duration,
}

/// Who knows names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameSource {
    /// The cluster that is followed.
    #[serde(alias = "kube", alias = "kubernetes")]
    K8s,
    /// The system's name servers.
    Dns,
}

/// Who has an address, by everybody who is asked.
pub struct Peers {
    cluster: Option<Arc<Names>>,
    dns: Option<Arc<Resolver>>,
}

impl Peers {
    /// Asks those whom `config` names, the `cluster` if one is followed; needs a runtime around it. None: nobody is
    /// asked.
    #[must_use]
    pub fn start(
        config: &NameResolverConfig,
        cluster: Option<Arc<Names>>,
        board: &Board,
    ) -> Option<Arc<Self>> {
        let asked = |source| config.sources.contains(&source);
        let cluster = cluster.filter(|_| asked(NameSource::K8s));
        let dns = asked(NameSource::Dns).then(|| {
            Resolver::start(STAGE, config.cache_len, config.cache_expiry.get(), named, board)
        });
        (cluster.is_some() || dns.is_some()).then(|| Arc::new(Self { cluster, dns }))
    }
}

impl Directory for Peers {
    fn at(&self, ip: IpAddr) -> Option<Arc<Workload>> {
        let known = self.cluster.as_ref().and_then(|cluster| cluster.at(ip));
        known.or_else(|| self.dns.as_ref()?.at(ip))
    }

    fn of(&self, process: ProcessKey) -> Option<Arc<Workload>> {
        self.cluster.as_ref()?.of(process)
    }
}

/// Who is called `name` in DNS. What a cluster's name server says of a service, or of a pod behind one, is that service in
/// its namespace: `10-0-0-7.cart.shop.svc.cluster.local` is `cart` in `shop`.
fn named(name: &str) -> Workload {
    let (name, namespace) = match name.strip_suffix(".svc.cluster.local") {
        Some(inside) => {
            let (names, namespace) = inside.rsplit_once('.').unwrap_or((inside, ""));
            (names.rsplit('.').next().unwrap_or(names), namespace)
        }
        None => (name, ""),
    };
    Workload {
        name: name.into(),
        namespace: namespace.into(),
        named_by: "dns",
        ..Workload::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_clusters_name_server_are_services_in_namespaces() {
        for (name, expected) in [
            ("cart.shop.svc.cluster.local", ("cart", "shop")),
            ("10-0-0-7.cart.shop.svc.cluster.local", ("cart", "shop")),
            ("db-0.db.shop.svc.cluster.local", ("db", "shop")),
            ("odd.svc.cluster.local", ("odd", "")),
            ("10-0-0-7.shop.pod.cluster.local", ("10-0-0-7.shop.pod.cluster.local", "")),
            ("web.example.com", ("web.example.com", "")),
        ] {
            let found = named(name);
            assert_eq!((&*found.name, &*found.namespace), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn who_is_not_named_is_not_asked() {
        use confique::Config;
        let board = Board::new();
        let mut config = NameResolverConfig::builder().load().unwrap();
        assert!(Peers::start(&config, None, &board).is_none(), "no cluster, no DNS");
        config.sources = vec![NameSource::Dns];
        let names = Names::new(None, None);
        let peers = Peers::start(&config, Some(names), &board).unwrap();
        assert!(peers.cluster.is_none() && peers.dns.is_some());
        let words = r#"["k8s", "kube", "kubernetes", "dns"]"#;
        let read: Vec<NameSource> = serde_json::from_str(words).unwrap();
        assert_eq!(read.iter().filter(|source| **source == NameSource::K8s).count(), 3);
    }
}
