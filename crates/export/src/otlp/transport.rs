// SPDX-License-Identifier: Apache-2.0
//! One request to a receiver and what its answer means (OTLP 1.9, "OTLP/gRPC" and "OTLP/HTTP").
//!
//! In: an encoded request. Out: an [`Answer`]. A request takes the timeout of its target at most; an
//! answer is read to [`MAX_ANSWER_BYTES`]. One connection, opened when it is needed.

use std::error::Error;
use std::io::Write;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use flate2::{Compression as Level, write::GzEncoder};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use vor_pipeline::{clock, now};

use super::config::{Compression, Protocol};
use super::endpoint::Target;
use super::tls;

/// The most that is read of an answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Two ends that lost sight of each other find out after this long, twice.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a receiver made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for so many items; the text is for people.
    Taken { rejected: u64, message: String },
    /// It will never take it, and why.
    Refused(String),
    /// It may take it another time, and when if it said so.
    Later { after: Option<Duration>, why: String },
}

/// What the answer to a request of some signal says.
pub(super) trait Reply: Message + Default + Send + 'static {
    /// How many items were rejected, and the message.
    fn rejected(self) -> (i64, String);
}

/// The way to one receiver.
pub(super) struct Transport {
    target: Target,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    user_agent: HeaderValue,
}

impl Transport {
    /// Opens nothing yet; reads the files that TLS needs.
    pub(super) fn new(target: Target, version: &str) -> Result<Self, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(target.timeout));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEP_ALIVE));
        let tls = tls::client(target.trust.as_ref())?;
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let mut client = Client::builder(TokioExecutor::new());
        client.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        client.pool_max_idle_per_host(1);
        let https = match target.protocol {
            Protocol::Grpc => {
                client.http2_only(true).http2_keep_alive_interval(KEEP_ALIVE);
                client.http2_keep_alive_timeout(KEEP_ALIVE);
                https.enable_http2().wrap_connector(connector)
            }
            Protocol::Http => https.enable_http1().wrap_connector(connector),
        };
        let user_agent = HeaderValue::from_str(&format!("vor/{version}"));
        let user_agent = user_agent.unwrap_or(HeaderValue::from_static("vor"));
        Ok(Self { target, client: client.build(https), user_agent })
    }

    /// Where it goes, for people.
    pub(super) fn uri(&self) -> String {
        self.target.uri.to_string()
    }

    /// Sends `body` once.
    pub(super) async fn send<R: Reply>(&self, body: Bytes) -> Answer {
        let answer = async {
            match self.target.protocol {
                Protocol::Grpc => self.grpc::<R>(body).await,
                Protocol::Http => self.http::<R>(body).await,
            }
        };
        tokio::time::timeout(self.target.timeout, answer).await.unwrap_or_else(|_| Answer::Later {
            after: None,
            why: format!("no answer within {:?}", self.target.timeout),
        })
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = self.target.headers.clone();
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        headers
    }

    async fn http<R: Reply>(&self, body: Bytes) -> Answer {
        let mut headers = self.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let body = match self.target.compression {
            Compression::None => body,
            Compression::Gzip => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                match gzip(&body) {
                    Ok(smaller) => smaller,
                    Err(error) => return Answer::Refused(format!("cannot compress: {error}")),
                }
            }
        };
        let mut request = Request::new(Body::new(Full::new(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = headers;
        match self.client.request(request).await {
            Ok(response) => read::<R>(response).await,
            Err(error) => Answer::Later { after: None, why: chain(&error) },
        }
    }

    async fn grpc<R: Reply>(&self, body: Bytes) -> Answer {
        let mut grpc = Grpc::with_origin(self.client.clone(), self.target.uri.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        if self.target.compression == Compression::Gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let mut request = tonic::Request::new(body);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers());
        request.set_timeout(self.target.timeout);
        let codec = Encoded::<R>(PhantomData);
        match grpc.unary(request, self.target.method.clone(), codec).await {
            Ok(reply) => taken(reply.into_inner()),
            Err(status) => refusal(&status),
        }
    }
}

/// What a status of gRPC asks for.
fn refusal(status: &Status) -> Answer {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    // A source is an error of the connection: nobody answered.
    let source = status.source();
    let why = match source {
        Some(source) => chain(source),
        None => format!("{:?}: {}", status.code(), status.message()),
    };
    let again = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => after.is_some(),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => source.is_some(),
    };
    if again { Answer::Later { after, why } } else { Answer::Refused(why) }
}

/// What an answer of HTTP asks for.
async fn read<R: Reply>(response: Response<Incoming>) -> Answer {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(retry_after);
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    if status.is_success() {
        // The request was taken, whatever became of the words about it.
        let reply = body.ok().and_then(|body| R::decode(body.to_bytes()).ok());
        return taken(reply.unwrap_or_default());
    }
    let why = format!("HTTP status {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Later { after, why },
        _ => Answer::Refused(why),
    }
}

fn taken(reply: impl Reply) -> Answer {
    let (rejected, message) = reply.rejected();
    Answer::Taken { rejected: u64::try_from(rejected).unwrap_or_default(), message }
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wall = jiff::Timestamp::try_from(clock().wall(now())).ok()?;
    Some(Duration::try_from(at.duration_since(wall)).unwrap_or_default())
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Level::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// An error with all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Sends bytes that are encoded already, so that a second attempt need not encode them again.
struct Encoded<R>(PhantomData<R>);

impl<R: Reply> Codec for Encoded<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<R> Encoder for Encoded<R> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, body: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(body);
        Ok(())
    }
}

impl<R: Reply> Decoder for Encoded<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        R::decode(from).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_names_seconds_or_a_date() {
        let read = |text: &str| retry_after(&text.parse().unwrap());
        assert_eq!(read("30"), Some(Duration::from_secs(30)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO), "long ago");
        let late = read("Fri, 01 Jan 2100 00:00:00 GMT").unwrap();
        assert!(late > Duration::from_secs(365 * 24 * 3_600));
        assert_eq!(read("soon"), None);
    }
}
