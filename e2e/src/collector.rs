// SPDX-License-Identifier: Apache-2.0
//! An OTLP collector inside the test: gRPC on one port, HTTP with protobuf on another, gzip on both.
//!
//! In: export requests. Out: flat [`Span`]s and [`Point`]s, in the order of their arrival.

mod flat;

use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, header::HeaderMap, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::{codec::CompressionEncoding, transport::server::TcpIncoming};

pub use flat::{Attrs, Point, Span};

/// Everything that arrived.
#[derive(Debug, Default)]
pub struct Arrived {
    /// Spans.
    pub spans: Vec<Span>,
    /// Metric points; a cumulative series has one per export.
    pub points: Vec<Point>,
    /// Headers of all requests: `name: value`.
    pub headers: Vec<String>,
}

/// The collector; ends when dropped.
pub struct Collector {
    /// Port of OTLP over gRPC.
    pub grpc: u16,
    /// Port of OTLP over HTTP.
    pub http: u16,
    inbox: Inbox,
    // Dropped last of all: the servers run on it.
    runtime: Option<Runtime>,
}

impl Collector {
    /// Listens on two free ports of this host.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting the collector")?;
        let inbox = Inbox::default();
        let (grpc, http) = runtime.block_on(async {
            let grpc = TcpListener::bind(("127.0.0.1", 0)).await?;
            let http = TcpListener::bind(("127.0.0.1", 0)).await?;
            let ports = (grpc.local_addr()?.port(), http.local_addr()?.port());
            tokio::spawn(serve_grpc(grpc, inbox.clone()));
            tokio::spawn(serve_http(http, inbox.clone()));
            anyhow::Ok(ports)
        })?;
        Ok(Self { grpc, http, inbox, runtime: Some(runtime) })
    }

    /// What has arrived so far. Arrivals wait while this is held.
    pub fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.inbox.open()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Arrived>>);

impl Inbox {
    fn open(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, headers: &HeaderMap) {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        self.open().headers.extend(lines);
    }

    fn traces(&self, request: ExportTraceServiceRequest) {
        self.open().spans.extend(flat::spans(request));
    }

    fn metrics(&self, request: ExportMetricsServiceRequest) {
        self.open().points.extend(flat::points(request));
    }
}

async fn serve_grpc(listener: TcpListener, inbox: Inbox) {
    let traces =
        TraceServiceServer::new(inbox.clone()).accept_compressed(CompressionEncoding::Gzip);
    let metrics = MetricsServiceServer::new(inbox).accept_compressed(CompressionEncoding::Gzip);
    let server = tonic::transport::Server::builder().add_service(traces).add_service(metrics);
    // Ends with the runtime.
    let _ = server.serve_with_incoming(TcpIncoming::from(listener)).await;
}

#[tonic::async_trait]
impl TraceService for Inbox {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.note(&request.metadata().clone().into_headers());
        self.traces(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Inbox {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.note(&request.metadata().clone().into_headers());
        self.metrics(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn serve_http(listener: TcpListener, inbox: Inbox) {
    while let Ok((stream, _)) = listener.accept().await {
        let inbox = inbox.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(request, inbox.clone()));
            let conn = hyper::server::conn::http1::Builder::new();
            // A client that hangs up is no failure of the collector.
            let _ = conn.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    inbox: Inbox,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = match take(request, &inbox).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

async fn take(request: Request<Incoming>, inbox: &Inbox) -> Result<()> {
    inbox.note(request.headers());
    let path = request.uri().path().to_owned();
    let packed = request.headers().get("content-encoding").is_some_and(|value| value == "gzip");
    let mut body = request.into_body().collect().await?.to_bytes().to_vec();
    if packed {
        let mut plain = Vec::new();
        GzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
        body = plain;
    }
    match path.as_str() {
        "/v1/traces" => inbox.traces(ExportTraceServiceRequest::decode(body.as_slice())?),
        "/v1/metrics" => inbox.metrics(ExportMetricsServiceRequest::decode(body.as_slice())?),
        _ => anyhow::bail!("unknown path {path}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire};

    use super::*;
    use crate::web::Talk;

    fn request(name: &str) -> ExportTraceServiceRequest {
        let span = Wire { name: name.to_owned(), kind: 2, ..Wire::default() };
        let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
        let resource_spans =
            vec![ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }
    }

    #[test]
    fn grpc_and_http_both_arrive() {
        let collector = Collector::start().unwrap();
        let runtime = collector.runtime.as_ref().unwrap();
        runtime.block_on(async {
            let at = format!("http://127.0.0.1:{}", collector.grpc);
            let client = TraceServiceClient::connect(at).await.unwrap();
            let mut client = client.send_compressed(CompressionEncoding::Gzip);
            client.export(request("by gRPC")).await.unwrap();
        });

        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&request("by HTTP").encode_to_vec()).unwrap();
        let body = packed.finish().unwrap();
        let more = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len());
        let mut talk = Talk::to(collector.http).unwrap();
        talk.say(crate::web::request("POST", "/v1/traces", &more).as_bytes()).unwrap();
        talk.say(&body).unwrap();
        assert_eq!(talk.hear(false).unwrap().status, 200);

        let arrived = collector.arrived();
        let names: Vec<_> = arrived.spans.iter().map(|s| (s.name.as_str(), s.server)).collect();
        assert_eq!(names, [("by gRPC", true), ("by HTTP", true)]);
        assert!(arrived.headers.iter().any(|line| line == "grpc-encoding: gzip"));
    }
}
