// SPDX-License-Identifier: Apache-2.0
//! An API server of Kubernetes for tests: lists, watches and writes as the real one does, and goes wrong on wish.
//!
//! In: requests over HTTP and HTTPS with tokens; wishes of the test, by calls or over a port of their own. Out: lists
//! in pages, watches as chunked JSON with bookmarks, `Status` objects. Everything is in memory; the history of each
//! kind has a bound, and who continues from before it is told `410 Gone`. Protobuf, CBOR and YAML are refused by
//! `Accept` (406), as the real server does for kinds that it knows in JSON only; HTTP/2 is not spoken.

#![allow(
    clippy::indexing_slicing,
    reason = "reading JSON by index cannot fail, and what is written into was looked at by store::well_formed"
)]

mod access;
mod answer;
mod ask;
mod cluster;
mod control;
mod fault;
mod generate;
mod kinds;
mod list;
mod refusal;
mod selector;
mod serve;
mod shape;
mod store;
mod watch;
mod wire;
mod write;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

pub use access::{Account, Asked, Rule};
pub use ask::Verb;
pub use cluster::Cluster;
pub use control::WISHES;
pub use fault::{Fault, Wrong};
pub use generate::Size;
pub use kinds::{KINDS, Kind};

use serve::{Door, listen, serve};

/// How the server is started. Ports that are 0 are chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port for HTTP.
    pub port: u16,
    /// Port for HTTPS.
    pub tls_port: u16,
    /// Port for wishes.
    pub control_port: u16,
    /// The token of an account that may do everything.
    pub token: String,
    /// Changes of each kind that are remembered.
    pub history: usize,
    /// How often a watch is told how far it has come.
    pub bookmarks: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            tls_port: 0,
            control_port: 0,
            token: "admin".to_owned(),
            history: 20_000,
            bookmarks: Duration::from_secs(10),
        }
    }
}

/// The server, on a thread of its own until it is dropped.
pub struct ApiServer {
    cluster: Arc<Cluster>,
    http: SocketAddr,
    https: SocketAddr,
    control: SocketAddr,
    ca_pem: String,
    token: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// Starts it on loopback addresses; it answers when this returns.
    pub fn start(options: &Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = Cluster::new(options.history, options.bookmarks);
        let admin = Account {
            token: options.token.clone(),
            user: "admin".to_owned(),
            rules: None,
            lasts_ms: None,
        };
        cluster.admit(admin);
        let (acceptor, ca_pem) = tls()?;
        let doors = [
            (options.port, Door::Plain),
            (options.tls_port, Door::Tls(acceptor)),
            (options.control_port, Door::Control),
        ];
        let mut addresses = Vec::new();
        for (port, door) in doors {
            let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let _inside = runtime.enter();
            let listener = listen(wanted).with_context(|| format!("listening on {wanted}"))?;
            let address = listener.local_addr()?;
            addresses.push(address);
            runtime.spawn(serve(listener, address, door, Arc::clone(&cluster)));
        }
        let [http, https, control] =
            addresses.try_into().map_err(|_| anyhow!("there are three doors"))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("apiserver".to_owned()).spawn(move || {
            // Dropped or told: the end in both cases.
            let _ = runtime.block_on(stopped);
        })?;
        let (token, stop, thread) = (options.token.clone(), Some(stop), Some(thread));
        Ok(Self { cluster, http, https, control, ca_pem, token, stop, thread })
    }

    /// What a test may do to it.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Where it answers over HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where it answers over HTTPS.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    /// Where wishes are heard.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Its certificate, which signs itself.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The token of the account that may do everything.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Writes `ca.crt`, `token` and a `kubeconfig` that names them into a folder.
    pub fn write_access(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let (ca, token) = (folder.join("ca.crt"), folder.join("token"));
        std::fs::write(&ca, &self.ca_pem)?;
        std::fs::write(&token, &self.token)?;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{}\", certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: test, user: {{tokenFile: \"{}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.https_url(),
            ca.display(),
            token.display()
        );
        std::fs::write(folder.join("kubeconfig"), kubeconfig).context("writing the kubeconfig")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tls() -> Result<(TlsAcceptor, String)> {
    let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), cert.pem()))
}
