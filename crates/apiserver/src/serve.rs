// SPDX-License-Identifier: Apache-2.0
//! Listening: plain, with TLS, and for the test's own wishes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::answer::answer;
use crate::cluster::Cluster;
use crate::control::control;
use crate::wire::{Limit, Wire};

/// How long to wait after an address could not be had again.
const BREATH: Duration = Duration::from_millis(20);

/// What is spoken on a port.
#[derive(Clone)]
pub(crate) enum Door {
    /// The API.
    Plain,
    /// The API, behind TLS.
    Tls(TlsAcceptor),
    /// The test's wishes; open while the API is away.
    Control,
}

/// Listens on an address that others may use right after.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves until the runtime ends.
pub(crate) async fn serve(
    first: TcpListener,
    address: SocketAddr,
    door: Door,
    cluster: Arc<Cluster>,
) {
    let mut presence = cluster.presence();
    let always = matches!(door, Door::Control);
    let mut listener = Some(first);
    let mut connections = JoinSet::new();
    loop {
        if !always && !*presence.borrow_and_update() {
            listener = None;
            connections.abort_all();
            if presence.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = listen(address).ok();
            if listener.is_none() {
                tokio::time::sleep(BREATH).await;
            }
            continue;
        };
        tokio::select! {
            _ = presence.changed(), if !always => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Ok((stream, _)) = open.accept() => {
                connections.spawn(connection(stream, door.clone(), Arc::clone(&cluster)));
            }
        }
    }
}

async fn connection(stream: TcpStream, door: Door, cluster: Arc<Cluster>) {
    // Otherwise small events wait for each other.
    let _ = stream.set_nodelay(true);
    match door {
        Door::Plain => api(stream, cluster).await,
        Door::Tls(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                api(stream, cluster).await;
            }
        }
        Door::Control => {
            let service = service_fn(move |request| {
                let cluster = Arc::clone(&cluster);
                async move { Ok::<_, Infallible>(control(&cluster, request).await) }
            });
            // A client that goes away is no fault here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

async fn api(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, cluster: Arc<Cluster>) {
    let limit = Limit::default();
    let wire = Wire::new(stream, limit.clone());
    let service = service_fn(move |request| {
        let (cluster, limit) = (Arc::clone(&cluster), limit.clone());
        async move { Ok::<_, Infallible>(answer(&cluster, request, &limit).await) }
    });
    // Connections end badly here by design.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(wire), service).await;
}
