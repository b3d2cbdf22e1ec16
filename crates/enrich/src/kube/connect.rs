// SPDX-License-Identifier: Apache-2.0
//! How the API server is reached, and which node this is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::Limited;
use kube::api::{Api, ListParams};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config, Resource as _};
use tower_http::map_response_body::MapResponseBodyLayer;

use super::cache::AskError;
use super::config::{Enable, KubernetesConfig};
use super::seen::{SeenNode, SeenPod};

/// Where Kubernetes puts what a pod needs to reach it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long it may take to reach the server, and to hear something of it.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest answer: a page of a list, or what one watch tells before it is resumed. The client has no bound of its own.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig cannot be used.
    #[error("attributes.kubernetes: the kubeconfig {path} cannot be used: {error}")]
    Kubeconfig {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        error: KubeconfigError,
    },
    /// This is no pod, and there is no kubeconfig.
    #[error(
        "attributes.kubernetes is on, but this is no pod with a service account and there is no kubeconfig: set \
         kubeconfig_path (KUBECONFIG): {0}"
    )]
    Nowhere(#[source] kube::config::InClusterError),
    /// The settings of the shared cache do not make a connection.
    #[error(transparent)]
    Cache(#[from] AskError),
    /// The settings do not make a connection.
    #[error("attributes.kubernetes: cannot talk to the API server: {0}")]
    Client(#[source] kube::Error),
    /// There is no thread to be had.
    #[error("cannot start the thread vor-kube: {0}")]
    Thread(#[source] std::io::Error),
}

/// Whether names are to be taken from Kubernetes.
pub(super) fn is_on(config: &KubernetesConfig) -> bool {
    match config.enable {
        Enable::True => true,
        Enable::False => false,
        Enable::Autodetect => {
            config.meta_cache_address.is_some()
                || kubeconfig(config).is_some()
                || Path::new(SERVICE_ACCOUNT).exists()
        }
    }
}

/// A client of the API server. Nothing is sent yet.
pub(super) async fn client(config: &KubernetesConfig) -> Result<Client, ConnectError> {
    let mut way = match kubeconfig(config) {
        Some(path) => {
            let fault = |error| ConnectError::Kubeconfig { path: path.clone(), error };
            let read = Kubeconfig::read_from(&path).map_err(fault)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(read, &options).await.map_err(fault)?
        }
        None => Config::incluster().map_err(ConnectError::Nowhere)?,
    };
    way.connect_timeout = Some(CONNECT);
    let builder = ClientBuilder::try_from(way).map_err(ConnectError::Client)?;
    let bound = MapResponseBodyLayer::new(|body| Limited::new(body, MAX_ANSWER));
    Ok(builder.with_layer(&bound).build())
}

fn kubeconfig(config: &KubernetesConfig) -> Option<PathBuf> {
    let usual = || std::env::home_dir().map(|home| home.join(".kube/config"));
    match &config.kubeconfig_path {
        Some(path) => Some(path.clone()),
        None => usual().filter(|path| path.exists()),
    }
}

/// The node this host is: what the pod called like it runs on, or the node called like it.
pub(super) async fn node_name(client: &Client, host: &str) -> Result<Option<String>, kube::Error> {
    let it = ListParams::default().fields(&format!("metadata.name={host}")).limit(1);
    let pods = Api::<SeenPod>::default_namespaced(client.clone()).list(&it).await?;
    if let Some(pod) = pods.items.into_iter().next() {
        return Ok(pod.node_name());
    }
    let nodes = Api::<SeenNode>::all(client.clone()).list(&it).await?;
    Ok(nodes.items.into_iter().next().and_then(|node| node.meta().name.clone()))
}
