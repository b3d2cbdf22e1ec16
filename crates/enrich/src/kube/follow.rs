// SPDX-License-Identifier: Apache-2.0
//! The thread that follows the cluster: one task per kind of objects, and one that tidies.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;
use vor_health::Board;

use super::cache::Ask;
use super::cluster;
use super::condition::Condition;
use super::config::KubernetesConfig;
use super::connect::{self, ConnectError};
use super::object::{Kind, Object};
use super::rules::Rules;
use super::seen::{Keep, SeenJob, SeenNode, SeenPod, SeenService};
use super::store::Store;
use super::watch::{Pause, Watch};

/// How often what is gone is looked through.
const TIDY: Duration = Duration::from_secs(1);

/// How often a cloud's metadata service is asked for the cluster's name.
const CLOUD_TRIES: usize = 5;

/// Whose pods are told in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the node this is.
    ThisNode,
    /// All.
    Cluster,
}

/// A cluster that is followed, until this is dropped.
#[derive(Debug)]
pub struct Follow {
    store: Arc<Store>,
    _stop: oneshot::Sender<()>,
}

impl Follow {
    /// Follows the cluster that `config` names, on a thread of its own. None: it is off. Waits for nothing but files.
    pub fn start(
        config: &KubernetesConfig,
        scope: Scope,
        board: &Arc<Board>,
    ) -> Result<Option<Self>, ConnectError> {
        if !connect::is_on(config) {
            return Ok(None);
        }
        if let (Some(address), Scope::ThisNode) = (&config.meta_cache_address, scope) {
            return Self::start_with_cache(config, address, board).map(Some);
        }
        let store = Store::new(config.max_objects, Rules::new(config), board);
        let (stop, stopped) = oneshot::channel::<()>();
        let (connected, connects) = sync_channel(1);
        let (config, condition) = (config.clone(), Condition::new(board));
        let filled = Arc::clone(&store);
        let work = async move {
            let client = match connect::client(&config).await {
                Ok(client) => client,
                Err(error) => return connected.send(Err(error)).unwrap_or_default(),
            };
            // Whoever started this waits for it.
            connected.send(Ok(())).unwrap_or_default();
            let follower = Follower { config, scope, client, store: filled, condition };
            tokio::select! {
                () = follower.run() => {}
                _ = stopped => {}
            }
        };
        on_thread(work)?;
        match connects.recv() {
            Ok(Ok(())) => Ok(Some(Self { store, _stop: stop })),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectError::Thread(std::io::Error::other("it ended at once"))),
        }
    }

    /// Follows the shared cache at `address`.
    fn start_with_cache(
        config: &KubernetesConfig,
        address: &str,
        board: &Arc<Board>,
    ) -> Result<Self, ConnectError> {
        let ask = Ask::new(config, address, board)?;
        let store = Store::new(config.max_objects, Rules::new(config), board);
        if let Some(node) = &config.node_name {
            store.keep_in_full(node);
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let pause = Pause::new(config.reconnect_initial_interval.get());
        let patience = config.informers_sync_timeout.get();
        let (kinds, filled) = (config.kinds(), Arc::clone(&store));
        let given = config.cluster_name.clone();
        let work = async move {
            let work = async {
                tokio::join!(
                    ask.run(&filled, pause),
                    complain(Arc::clone(&filled), kinds, patience),
                    name_cluster(given, Arc::clone(&filled)),
                    tidy(&filled),
                )
            };
            tokio::select! {
                _ = work => {}
                _ = stopped => {}
            }
        };
        on_thread(work)?;
        Ok(Self { store, _stop: stop })
    }

    /// What is known of it.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }
}

/// Runs `work` on a thread of its own until it ends.
fn on_thread(work: impl Future<Output = ()> + Send + 'static) -> Result<(), ConnectError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ConnectError::Thread)?;
    let thread = thread::Builder::new().name("vor-kube".to_owned());
    thread.spawn(move || runtime.block_on(work)).map_err(ConnectError::Thread)?;
    Ok(())
}

struct Follower {
    config: KubernetesConfig,
    scope: Scope,
    client: Client,
    store: Arc<Store>,
    condition: Arc<Condition>,
}

impl Follower {
    async fn run(self) {
        let node = self.node().await;
        if let Some(node) = node.as_ref().filter(|_| self.scope == Scope::ThisNode) {
            tracing::debug!(node, "pods of this node are kept in full");
            self.store.keep_in_full(node);
        }
        let kinds = self.config.kinds();
        let mut tasks = JoinSet::new();
        for kind in &kinds {
            let fields = match (&node, kind) {
                (Some(node), Kind::Pod) if self.config.meta_restrict_local_node => {
                    format!("spec.nodeName={node}")
                }
                _ => String::new(),
            };
            match kind {
                Kind::Node => self.watch::<SeenNode>(*kind, fields, &mut tasks),
                Kind::Job => self.watch::<SeenJob>(*kind, fields, &mut tasks),
                Kind::Service => self.watch::<SeenService>(*kind, fields, &mut tasks),
                Kind::Pod => self.watch::<SeenPod>(*kind, fields, &mut tasks),
            }
        }
        tasks.spawn(name_cluster(self.config.cluster_name.clone(), Arc::clone(&self.store)));
        tasks.spawn(complain(self.store.clone(), kinds, self.config.informers_sync_timeout.get()));
        tidy(&self.store).await;
    }

    fn watch<K>(&self, kind: Kind, fields: String, tasks: &mut JoinSet<()>)
    where
        K: Resource<DynamicType = ()> + Keep + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let (store, condition) = (Arc::clone(&self.store), Arc::clone(&self.condition));
        let client = self.client.clone();
        let resync = self.config.informers_resync_period.get();
        let watch =
            Watch::<K> { client, kind, seen: PhantomData, fields, resync, store, condition };
        tasks.spawn(watch.run(Pause::new(self.config.reconnect_initial_interval.get())));
    }

    /// The name of this node, once somebody knows it. None: nobody does, or nobody needs it.
    async fn node(&self) -> Option<String> {
        if self.scope == Scope::Cluster {
            return None;
        }
        if let Some(name) = &self.config.node_name {
            return Some(name.clone());
        }
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let mut pause = Pause::new(self.config.reconnect_initial_interval.get());
        loop {
            match connect::node_name(&self.client, &host).await {
                Ok(Some(name)) => return Some(name),
                Ok(None) => break,
                // Who may not ask is told so by the watches.
                Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => break,
                Err(error) => {
                    self.condition.ill(Kind::Node, &error.to_string());
                    pause.wait().await;
                }
            }
        }
        if self.config.meta_restrict_local_node {
            tracing::warn!(
                host = &*host,
                "no node is known by this host's name, all pods are watched: set \
                 attributes.kubernetes.node_name"
            );
        }
        None
    }
}

/// Forgets what has been gone for long enough.
async fn tidy(store: &Store) {
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        tidy.tick().await;
        store.sweep(Instant::now());
    }
}

/// Finds out what the cluster is called, once its nodes are known, unless settings say so.
async fn name_cluster(given: Option<String>, store: Arc<Store>) {
    if given.is_some() {
        return;
    }
    while !store.is_synced(Kind::Node) {
        sleep(TIDY).await;
    }
    let nodes = store.all(Kind::Node);
    let mut name = cluster::by_nodes(nodes.iter().map(|node| &**node));
    for _ in 0..CLOUD_TRIES {
        if name.is_some() {
            break;
        }
        let cloud = nodes.iter().find_map(|node| match &**node {
            Object::Node(node) => Some(Arc::clone(&node.provider_id)),
            Object::Pod(_) | Object::Service(_) | Object::Job(_) => None,
        });
        name = cluster::by_cloud(&cloud.unwrap_or_default()).await;
        sleep(TIDY).await;
    }
    if let Some(name) = name {
        tracing::info!(unit = "kube", name, "the cluster is called so");
        store.name_cluster(&name);
    } else {
        tracing::debug!(unit = "kube", "nobody knows the cluster's name");
    }
}

/// Says so when the first lists take long.
async fn complain(store: Arc<Store>, kinds: Vec<Kind>, patience: Duration) {
    sleep(patience).await;
    let missing = kinds.iter().filter(|kind| !store.is_synced(**kind)).map(|kind| kind.as_str());
    let missing = missing.collect::<Vec<_>>().join(",");
    if !missing.is_empty() {
        tracing::warn!(
            unit = "kube",
            missing,
            "not listed yet; vor goes on without, see attributes.kubernetes.informers_sync_timeout"
        );
    }
}
