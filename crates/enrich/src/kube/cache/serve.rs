// SPDX-License-Identifier: Apache-2.0
//! The gRPC server of the shared cache. It listens when everything has been listed, so that who can connect hears the
//! whole truth: until then connections are refused, and agents keep what they know.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::channel;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use vor_health::{Board, Counter, count};

use super::ask::with_causes;
use super::config::KubeCacheConfig;
use super::ledger::{Ledger, View};
use super::proto::kube_cache_server::{KubeCache, KubeCacheServer};
use super::proto::{Holdings, Told};
use super::teller::{Counters, End, Teller};
use crate::kube::object::Kind;
use crate::kube::store::Store;

/// Messages that may wait for one client.
const MESSAGES: usize = 16;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How often a silent client is asked whether it is there, and how long it may take to say so.
const PROBE: Duration = Duration::from_secs(20);
/// The longest question: digests of a hundred thousand objects take half of it.
const MAX_QUESTION: usize = 4 << 20;

/// Why the cache cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is not to be had.
    #[error("kube_cache.port: cannot listen on port {port}: {error}")]
    Listen {
        /// Which port.
        port: u16,
        /// Why not.
        error: io::Error,
    },
    /// A file cannot be read.
    #[error("kube_cache: cannot read {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Only one of two settings that belong together is there.
    #[error("kube_cache: certificate and key belong together, only one is set")]
    Half,
    /// Certificate and key cannot be used, or the server failed.
    #[error("kube_cache: {}", with_causes(error))]
    Transport {
        /// What is wrong.
        #[from]
        error: tonic::transport::Error,
    },
}

/// Tells agents what `store` knows of `kinds`, until `stop`. Listens when `store` knows everything once.
pub async fn serve(
    config: &KubeCacheConfig,
    store: Arc<Store>,
    kinds: Vec<Kind>,
    board: &Board,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(PROBE))
        .http2_keepalive_timeout(Some(PROBE));
    if let Some(identity) = identity(config)? {
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    // Taken at once, so that a port that is not to be had is said at the start.
    let socket = bind(config.port).map_err(|error| listen_error(config, error))?;
    tokio::pin!(stop);
    tokio::select! {
        () = listed(&store, &kinds) => {}
        () = &mut stop => return Ok(()),
    }
    let (ledger, changes) = Ledger::of(&store);
    let service = Service {
        ledger: Arc::clone(&ledger),
        seats: Arc::new(Semaphore::new(config.max_connections)),
        patience: config.send_timeout.get(),
        counters: Counters::new(board),
        clients: Clients::new(config.max_connections, board),
    };
    let listener = socket.listen(BACKLOG).map_err(|error| listen_error(config, error))?;
    tracing::info!(port = config.port, objects = store.len(), "answering agents");
    let service = KubeCacheServer::new(service).max_decoding_message_size(MAX_QUESTION);
    let serving = server.serve_with_incoming(service, TcpListenerStream::new(listener));
    tokio::select! {
        result = serving => result?,
        () = ledger.keep(&store, changes) => {}
        () = stop => {}
    }
    Ok(())
}

fn listen_error(config: &KubeCacheConfig, error: io::Error) -> ServeError {
    ServeError::Listen { port: config.port, error }
}

/// A port of all addresses, IPv6 and IPv4, on which nobody is heard yet.
fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v6().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
        Ok(socket)
    });
    socket.or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        // A host without IPv6.
        _ => {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
            Ok(socket)
        }
    })
}

fn identity(config: &KubeCacheConfig) -> Result<Option<Identity>, ServeError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| ServeError::File { path: path.clone(), error })
    };
    match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => {
            Ok(Some(Identity::from_pem(read(certificate)?, read(key)?)))
        }
        (None, None) => Ok(None),
        _ => Err(ServeError::Half),
    }
}

/// Waits until all objects of `kinds` have been told once.
async fn listed(store: &Store, kinds: &[Kind]) {
    let (_, mut changes) = store.subscribe();
    while !kinds.iter().all(|kind| store.is_synced(*kind)) {
        // Having missed changes is as good a reason to look again as having heard one.
        let _ = changes.recv().await;
    }
}

/// How many follow.
#[derive(Debug, Clone)]
struct Clients {
    max: usize,
    now: Counter,
    refused: Counter,
}

impl Clients {
    fn new(max: usize, board: &Board) -> Self {
        let count = |what| board.counter("kube_cache", what);
        Self { max, now: count("clients"), refused: count("clients_refused") }
    }

    fn set(&self, free: usize) {
        self.now.set(count(self.max.saturating_sub(free)));
    }
}

struct Service {
    ledger: Arc<Ledger>,
    seats: Arc<Semaphore>,
    patience: Duration,
    counters: Counters,
    clients: Clients,
}

#[tonic::async_trait]
impl KubeCache for Service {
    type FollowStream = ReceiverStream<Result<Told, Status>>;

    async fn follow(
        &self,
        request: Request<Holdings>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            self.clients.refused.inc();
            return Err(Status::resource_exhausted("there are kube_cache.max_connections agents"));
        };
        self.clients.set(self.seats.available_permits());
        let from = request.remote_addr().map(|from| from.to_string()).unwrap_or_default();
        let Holdings { agent, node, this_node_only, held } = request.into_inner();
        tracing::debug!(agent, node, from, "an agent follows");
        let (out, stream) = channel(MESSAGES);
        let view = View { node, this_node_only };
        let (ledger, counters) = (Arc::clone(&self.ledger), self.counters.clone());
        let teller = Teller::new(ledger, view, out, self.patience, counters);
        let (clients, seats) = (self.clients.clone(), Arc::clone(&self.seats));
        tokio::spawn(async move {
            let end = teller.run(held).await;
            drop(seat);
            clients.set(seats.available_permits());
            match end {
                End::Slow => tracing::warn!(agent, from, "an agent is too slow and begins anew"),
                End::Left | End::Wrong | End::Over => {
                    tracing::debug!(agent, from, ?end, "an agent follows no more");
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
