// SPDX-License-Identifier: Apache-2.0
//! A receiver of OTLP on a real socket: gRPC by the generated server, HTTP by hyper, both with or without TLS.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What to say to a request.
#[derive(Debug, Clone)]
pub(super) enum Say {
    /// Takes it, but for so many spans.
    Take(i64),
    /// An HTTP status, and `Retry-After`.
    Http(u16, Option<&'static str>),
    /// A status of gRPC, and the delay of its `RetryInfo`.
    Grpc(Code, Option<Duration>),
    /// Nothing, ever.
    Nothing,
}

/// What was received, and what is to be said; takes everything when nothing is prescribed.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) script: Mutex<VecDeque<Say>>,
    pub(super) traces: Mutex<Vec<ExportTraceServiceRequest>>,
    pub(super) metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
    /// Headers of every request, also of those that were not taken.
    pub(super) headers: Mutex<Vec<HeaderMap>>,
    /// Path of every request over HTTP.
    pub(super) paths: Mutex<Vec<String>>,
}

impl Book {
    fn next(&self, headers: HeaderMap) -> Say {
        self.headers.lock().unwrap().push(headers);
        self.script.lock().unwrap().pop_front().unwrap_or(Say::Take(0))
    }

    pub(super) fn requests(&self) -> usize {
        self.headers.lock().unwrap().len()
    }

    /// Every span that was taken.
    pub(super) fn spans(&self) -> Vec<Span> {
        let traces = self.traces.lock().unwrap();
        let resources = traces.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// A certificate for `localhost` and its files.
pub(super) struct Papers {
    directory: PathBuf,
    certificate: String,
    key: String,
}

impl Papers {
    pub(super) fn new(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let name = format!("vor-otlp-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("cert.pem"), &certificate).unwrap();
        std::fs::write(directory.join("key.pem"), &key).unwrap();
        Self { directory, certificate, key }
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Ends with the test.
pub(super) struct Receiver {
    pub(super) book: Arc<Book>,
    pub(super) at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(super) async fn grpc(at: &str, papers: Option<&Papers>, script: Vec<Say>) -> Self {
        let (book, listener) = open(at, script).await;
        let at = listener.local_addr().unwrap();
        let mut server = Server::builder();
        if let Some(papers) = papers {
            let identity = Identity::from_pem(&papers.certificate, &papers.key);
            let clients = Certificate::from_pem(&papers.certificate);
            let tls = ServerTlsConfig::new().identity(identity).client_ca_root(clients);
            server = server.tls_config(tls.client_auth_optional(true)).unwrap();
        }
        let traces = TraceServiceServer::from_arc(Arc::clone(&book));
        let metrics = MetricsServiceServer::from_arc(Arc::clone(&book));
        let server = server
            .add_service(traces.accept_compressed(CompressionEncoding::Gzip))
            .add_service(metrics.accept_compressed(CompressionEncoding::Gzip));
        let incoming = TcpIncoming::from(listener);
        let task = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Self { book, at, task }
    }

    pub(super) async fn http(at: &str, papers: Option<&Papers>, script: Vec<Say>) -> Self {
        let (book, listener) = open(at, script).await;
        let at = listener.local_addr().unwrap();
        let tls = papers.map(acceptor);
        let shared = Arc::clone(&book);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (book, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    let answer = service_fn(move |request| answer(request, Arc::clone(&book)));
                    let server = hyper::server::conn::http1::Builder::new();
                    if let Some(tls) = tls {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                    } else {
                        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                    }
                });
            }
        });
        Self { book, at, task }
    }
}

async fn open(at: &str, script: Vec<Say>) -> (Arc<Book>, TcpListener) {
    let book = Book { script: Mutex::new(script.into()), ..Book::default() };
    (Arc::new(book), TcpListener::bind(at).await.unwrap())
}

/// Asks for the client's certificate, which must be its own.
fn acceptor(papers: &Papers) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate =
        rustls::pki_types::CertificateDer::from_pem_file(papers.certificate()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(papers.key()).unwrap());
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn answer(
    request: Request<Incoming>,
    book: Arc<Book>,
) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = match head.headers.get("content-encoding").map(|coding| coding.to_str().unwrap()) {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some(other) => panic!("unknown coding {other}"),
    };
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    book.paths.lock().unwrap().push(head.uri.path().to_owned());
    let mut response = Response::new(Full::default());
    match book.next(head.headers) {
        Say::Take(rejected) if head.uri.path().ends_with("/traces") => {
            let request = ExportTraceServiceRequest::decode(&*body).unwrap();
            book.traces.lock().unwrap().push(request);
            *response.body_mut() = Full::new(partial(rejected).encode_to_vec().into());
        }
        Say::Take(_) => {
            let request = ExportMetricsServiceRequest::decode(&*body).unwrap();
            book.metrics.lock().unwrap().push(request);
        }
        Say::Http(status, after) => {
            *response.status_mut() = status.try_into().unwrap();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.parse().unwrap());
            }
        }
        Say::Grpc(..) => panic!("not over HTTP"),
        Say::Nothing => std::future::pending().await,
    }
    Ok(response)
}

fn partial(rejected_spans: i64) -> ExportTraceServiceResponse {
    let error_message = if rejected_spans > 0 { "too old" } else { "" }.to_owned();
    let partial_success = ExportTracePartialSuccess { rejected_spans, error_message };
    ExportTraceServiceResponse { partial_success: Some(partial_success) }
}

impl Book {
    async fn reply<R>(
        &self,
        head: tonic::metadata::MetadataMap,
        take: impl FnOnce(i64) -> R,
    ) -> Result<tonic::Response<R>, Status> {
        match self.next(head.into_headers()) {
            Say::Take(rejected) => Ok(tonic::Response::new(take(rejected))),
            Say::Grpc(code, None) => Err(Status::new(code, "not now")),
            Say::Grpc(code, delay) => {
                let details = ErrorDetails::with_retry_info(delay);
                Err(Status::with_error_details(code, "not now", details))
            }
            Say::Http(..) => panic!("not over gRPC"),
            Say::Nothing => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Book {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let (head, _, body) = request.into_parts();
        let take = |rejected| {
            self.traces.lock().unwrap().push(body);
            partial(rejected)
        };
        self.reply(head, take).await
    }
}

#[tonic::async_trait]
impl MetricsService for Book {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let (head, _, body) = request.into_parts();
        let take = |_| {
            self.metrics.lock().unwrap().push(body);
            ExportMetricsServiceResponse::default()
        };
        self.reply(head, take).await
    }
}
