// SPDX-License-Identifier: Apache-2.0
//! A small HTTP server for pages of metrics.
//!
//! In: GET and HEAD requests. Out: a page in the format that the client wants, compressed when it allows that. Pages
//! are written on a thread that may take its time. Bounded: [`MAX_CONNECTIONS`] at once, each may be idle for
//! [`IDLE`]; bodies of requests are not read.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vor_pipeline::{Closing, clock};

use super::accept::{Format, gzip};
use super::families::Family;
use super::proto;
use super::text::{self, Dialect};

/// Clients that may be connected at once; the next one waits.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may take for the head of its next request.
const IDLE: Duration = Duration::from_secs(60);
/// How long to wait after a connection could not be accepted, for want of descriptors, say.
const BREATH: Duration = Duration::from_millis(100);

/// What is served under one path.
pub(super) struct Page {
    pub(super) path: String,
    /// Requests so far.
    pub(super) requests: Arc<AtomicU64>,
    /// What it shows now.
    pub(super) families: Box<dyn Fn() -> Vec<Family> + Send + Sync>,
}

/// Listens on `port` of all addresses, IPv6 and IPv4.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(v6).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        // A host without IPv6.
        _ => TcpListener::bind(v4),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves `pages` until `closing`.
pub(super) async fn serve(listener: TcpListener, pages: Vec<Page>, mut closing: Closing) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(unit = "prometheus", %error, "not listening"),
    };
    let pages: Arc<[Page]> = pages.into();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let seat = Arc::clone(&room).acquire_owned().await;
            (seat, listener.accept().await)
        };
        let (seat, stream) = tokio::select! {
            () = closing.wait() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accepted => accepted,
        };
        let Ok((stream, _)) = stream else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let pages = Arc::clone(&pages);
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(request, Arc::clone(&pages)));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(IDLE);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
                tracing::debug!(unit = "prometheus", %error, "connection ended");
            }
            drop(seat);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    pages: Arc<[Page]>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(at) = pages.iter().position(|page| page.path == request.uri().path()) else {
        let known: Vec<_> = pages.iter().map(|page| page.path.as_str()).collect();
        return Ok(plain(StatusCode::NOT_FOUND, format!("there is {}\n", known.join(", "))));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned()));
    }
    let format = Format::accepted(&joined(&request, &ACCEPT));
    let gzip = gzip(&joined(&request, &ACCEPT_ENCODING));
    let written = tokio::task::spawn_blocking(move || {
        let page = pages.get(at)?;
        page.requests.fetch_add(1, Ordering::Relaxed);
        let page = write(&(page.families)(), format);
        if gzip { compress(&page).ok() } else { Some(page) }
    });
    let Ok(Some(page)) = written.await else {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "no metrics this time\n".to_owned()));
    };
    let mut response = Response::new(Full::new(Bytes::from(page)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, hyper::header::HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, hyper::header::HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// The values of a header that may be given several times.
fn joined(request: &Request<Incoming>, name: &HeaderName) -> String {
    let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

pub(super) fn write(families: &[Family], format: Format) -> Vec<u8> {
    let clock = clock();
    match format {
        Format::Text => text::encode(families, Dialect::Prometheus, &clock).into_bytes(),
        Format::OpenMetrics => text::encode(families, Dialect::OpenMetrics, &clock).into_bytes(),
        Format::Protobuf => proto::encode(families, &clock),
    }
}

fn compress(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 4), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, text_plain());
    response
}

fn text_plain() -> hyper::header::HeaderValue {
    hyper::header::HeaderValue::from_static("text/plain; charset=utf-8")
}
