// SPDX-License-Identifier: Apache-2.0
//! The agent's side: follows a shared cache instead of the API server.
//!
//! In: what the cache tells. Out: the same in the [`Store`]. What is known stays while the cache is away; when it is back,
//! or another one is, it is asked for the difference.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use vor_health::{Board, Counter, Verdict};

use super::digest::{Digests, hash};
use super::proto::kube_cache_client::KubeCacheClient;
use super::proto::{Held, Holdings, Told};
use super::wire::{decode, kind_of, kind_told};
use crate::kube::config::KubernetesConfig;
use crate::kube::object::{Kind, ObjectId};
use crate::kube::store::Store;
use crate::kube::watch::Pause;

const UNIT: &str = "kube";

/// How long it may take to reach the cache.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent cache is asked whether it is there, and how long it may take to say so.
const PROBE: Duration = Duration::from_secs(20);
/// The longest message that is read; the cache's are a quarter of a megabyte, and the longest object beyond that.
const MAX_MESSAGE: usize = 8 << 20;
/// A connection that lived so long worked.
const LASTING: Duration = Duration::from_secs(5);

/// Why no cache can be followed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// This is no address.
    #[error("attributes.kubernetes.meta_cache_address: {address}: {error}")]
    Address {
        /// What was set.
        address: String,
        /// What is wrong with it.
        error: tonic::transport::Error,
    },
    /// The certificate cannot be read.
    #[error("attributes.kubernetes.meta_cache_certificate: cannot read {path}: {error}")]
    Certificate {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

/// Follows a cache.
pub(in crate::kube) struct Ask {
    endpoint: Endpoint,
    address: String,
    agent: String,
    node: String,
    this_node_only: bool,
    kinds: Vec<Kind>,
    board: Arc<Board>,
    unreadable: Unreadable,
    failures: Counter,
    /// For each kind, the objects it was told and the hashes of what was told.
    held: HashMap<Kind, HashMap<Arc<str>, u64>>,
    /// Objects of stale buckets that were not told again so far.
    suspects: HashSet<Arc<str>>,
}

impl Ask {
    /// Of the cache that `config` names at `address`.
    pub(in crate::kube) fn new(
        config: &KubernetesConfig,
        address: &str,
        board: &Arc<Board>,
    ) -> Result<Self, AskError> {
        let wrong = |error| AskError::Address { address: address.to_owned(), error };
        let url =
            if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let secure = url.starts_with("https://");
        let mut endpoint = Endpoint::from_shared(url)
            .map_err(wrong)?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PROBE)
            .keep_alive_timeout(PROBE)
            .keep_alive_while_idle(true);
        if secure {
            let mut tls = ClientTlsConfig::new().with_enabled_roots();
            if let Some(path) = &config.meta_cache_certificate {
                let fault = |error| AskError::Certificate { path: path.clone(), error };
                let pem = std::fs::read(path).map_err(fault)?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        let count = |what| board.counter(UNIT, what);
        Ok(Self {
            endpoint,
            address: address.to_owned(),
            agent: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            node: config.node_name.clone().unwrap_or_default(),
            this_node_only: config.meta_restrict_local_node,
            kinds: config.kinds(),
            board: Arc::clone(board),
            unreadable: Unreadable { taken: count("in"), lost: count("lost.unreadable") },
            failures: count("failures"),
            held: HashMap::new(),
            suspects: HashSet::new(),
        })
    }

    /// Never ends.
    pub(in crate::kube) async fn run(mut self, store: &Store, mut pause: Pause) {
        loop {
            let begun = Instant::now();
            let why = self.follow(store).await;
            if begun.elapsed() >= LASTING {
                pause.reset();
            }
            self.failures.inc();
            let verdict = Verdict::Degraded(format!(
                "the shared cache {} cannot be followed, names stay as they were: {why}",
                self.address
            ));
            if self.board.judge(UNIT, verdict) {
                let address = &*self.address;
                tracing::warn!(unit = UNIT, address, why, "shared cache lost, trying again");
            }
            pause.wait().await;
        }
    }

    /// Follows until it does not work; says why.
    async fn follow(&mut self, store: &Store) -> String {
        let channel = match self.endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => return with_causes(&error),
        };
        match self.listen(channel, store).await {
            Ok(()) => "it ended the stream".to_owned(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        }
    }

    async fn listen(&mut self, channel: Channel, store: &Store) -> Result<(), tonic::Status> {
        let mut client = KubeCacheClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let mut told = client.follow(self.holdings()).await?.into_inner();
        self.suspects.clear();
        while let Some(told) = told.message().await? {
            self.take(&told, store);
        }
        Ok(())
    }

    fn holdings(&self) -> Holdings {
        let nothing = HashMap::new();
        let held = |kind: &Kind| {
            let objects = self.held.get(kind).unwrap_or(&nothing);
            let mut digests = Digests::sized(objects.len());
            for (uid, hash) in objects {
                digests.add(uid, *hash);
            }
            Held { kind: kind_told(*kind).into(), digests: digests.into_inner() }
        };
        Holdings {
            agent: self.agent.clone(),
            node: self.node.clone(),
            this_node_only: self.this_node_only,
            held: self.kinds.iter().map(held).collect(),
        }
    }

    fn take(&mut self, told: &Told, store: &Store) {
        let Some(kind) = kind_of(told.kind()) else { return };
        let Self { held, suspects, unreadable, .. } = self;
        let held = held.entry(kind).or_default();
        if !told.stale.is_empty() {
            // The number of buckets is that of the question; nothing was put or removed since.
            let digests = Digests::sized(held.len());
            let stale: HashSet<_> =
                told.stale.iter().filter_map(|at| usize::try_from(*at).ok()).collect();
            let doubtful = held.keys().filter(|uid| stale.contains(&digests.bucket(uid)));
            suspects.extend(doubtful.cloned());
        }
        for bytes in &told.put {
            match decode(bytes, store) {
                Ok(object) if object.kind() == kind => {
                    let uid = Arc::clone(&object.meta().uid);
                    suspects.remove(&uid);
                    held.insert(uid, hash(bytes));
                    store.put(object);
                }
                Ok(_) => unreadable.note("it is of another kind than said"),
                Err(error) => unreadable.note(&error.to_string()),
            }
        }
        for uid in &told.gone {
            if let Some((uid, _)) = held.remove_entry(uid.as_str()) {
                store.remove(&ObjectId { kind, uid });
            }
        }
        if told.synced {
            held.retain(|uid, _| !suspects.contains(uid));
            suspects.clear();
            store.keep_only(kind, &held.keys().cloned().collect());
            if self.board.judge(UNIT, Verdict::Active) {
                tracing::info!(unit = UNIT, address = &*self.address, "following the shared cache");
            }
        }
    }
}

/// Counts what cannot be read, and says so once.
struct Unreadable {
    taken: Counter,
    lost: Counter,
}

impl Unreadable {
    fn note(&self, why: &str) {
        self.taken.inc();
        if self.lost.get() == 0 {
            tracing::warn!(unit = UNIT, why, "an object that the shared cache told cannot be read");
        }
        self.lost.inc();
    }
}

/// An error and what caused it.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
