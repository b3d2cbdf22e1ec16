// SPDX-License-Identifier: Apache-2.0
//! Settings of the shared cache (`kube_cache`).

use std::path::PathBuf;

use vor_config::Duration;

/// The shared cache: `vor kube-cache` (`kube_cache`). How it reaches the API server is set in `attributes.kubernetes`.
#[derive(Debug, Clone, confique::Config)]
pub struct KubeCacheConfig {
    /// Port on which agents are answered; it opens when everything has been listed.
    #[config(default = 50055, env = "K8S_CACHE_PORT")]
    pub port: u16,
    /// Agents that may follow at once; the next one is refused and tries again.
    #[config(default = 1000, env = "K8S_CACHE_MAX_CONNECTIONS")]
    pub max_connections: usize,
    /// How long an agent may take nothing before it is dropped. It comes back and hears what it missed.
    #[config(default = "10s", env = "K8S_CACHE_SEND_TIMEOUT")]
    pub send_timeout: Duration,
    /// Certificates in PEM to answer with; with `key`, TLS is spoken.
    #[config(env = "K8S_CACHE_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
    /// The key of the certificate in PEM.
    #[config(env = "K8S_CACHE_KEY")]
    pub key: Option<PathBuf>,
}
