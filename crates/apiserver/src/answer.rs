// SPDX-License-Identifier: Apache-2.0
//! One request: who asks, what goes wrong, the answer.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName,
    HeaderValue, RETRY_AFTER,
};
use hyper::{Request, Response, StatusCode};

use crate::ask::{Ask, Verb};
use crate::cluster::Cluster;
use crate::fault::Wrong;
use crate::kinds::discovery;
use crate::list::list;
use crate::refusal::Refusal;
use crate::shape::Shape;
use crate::store::Key;
use crate::watch::{Watch, error_line};
use crate::wire::Limit;
use crate::write::write;

/// The longest body that is read.
const MAX_BODY: usize = 3 << 20;
/// From which length on lists are compressed for clients that allow it.
const COMPRESSED_FROM: usize = 128 << 10;

pub(crate) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// Answers; `limit` is that of the connection.
pub(crate) async fn answer(
    cluster: &Arc<Cluster>,
    request: Request<Incoming>,
    limit: &Limit,
) -> Answer {
    let gzip = header(&request, &ACCEPT_ENCODING).is_some_and(|value| value.contains("gzip"));
    limit.lift();
    let result = attempt(cluster, request, limit).await;
    let mut answer = result.unwrap_or_else(|refusal| refused(&refusal, gzip));
    if cluster.skewed() {
        // As RFC 9110 writes dates.
        let date = cluster.time().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(value) = HeaderValue::from_str(&date) {
            answer.headers_mut().insert(DATE, value);
        }
    }
    answer
}

async fn attempt(
    cluster: &Arc<Cluster>,
    request: Request<Incoming>,
    limit: &Limit,
) -> Result<Answer, Refusal> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let account = cluster.access().account(header(&request, &AUTHORIZATION))?;
    if let Some(found) = discovery(path) {
        if !account.may_read(path) {
            return Err(Refusal::new(
                403,
                "Forbidden",
                format!("forbidden: cannot get path \"{path}\""),
            ));
        }
        let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        return Ok(json_answer(StatusCode::OK, text.into(), false));
    }
    let ask = Ask::parse(request.method(), path, query)?;
    cluster.access().count(&account, &ask);
    account.may(&ask)?;
    if let Some(wrong) = cluster.wrong(&ask)
        && let Some(answer) = go_wrong(&wrong, &ask, limit)?
    {
        return Ok(answer);
    }
    let shape = Shape::accepted(header(&request, &ACCEPT))?;
    let gzip = header(&request, &ACCEPT_ENCODING).is_some_and(|value| value.contains("gzip"));
    match ask.verb {
        Verb::Watch => {
            let lines = Watch::new(ask, shape)?.start(Arc::clone(cluster));
            let mut answer = Response::new(lines.boxed());
            answer.headers_mut().insert(CONTENT_TYPE, json_type());
            Ok(answer)
        }
        Verb::List => Ok(json_answer(StatusCode::OK, list(cluster, &ask, shape)?, gzip)),
        Verb::Get => {
            let key = Key { namespace: ask.namespace.clone(), name: ask.name.clone() };
            let object = cluster.store().get(ask.kind, &key);
            let object = object.ok_or_else(|| Refusal::not_found(ask.kind, &ask.name))?;
            Ok(json_answer(StatusCode::OK, shape.one(ask.kind, &object), gzip))
        }
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => {
            let content_type = header(&request, &CONTENT_TYPE).unwrap_or_default().to_owned();
            let body =
                Limited::new(request.into_body(), MAX_BODY).collect().await.map_err(|_| {
                    let message = format!("Request entity too large: limit is {MAX_BODY}");
                    Refusal::new(413, "RequestEntityTooLarge", message)
                })?;
            let object = write(cluster, &ask, &content_type, &body.to_bytes())?;
            let code = if ask.verb == Verb::Create { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json_answer(code, shape.one(ask.kind, &object), false))
        }
    }
}

/// What a fault makes of a request: an answer of its own, or the usual one over a limited connection.
fn go_wrong(wrong: &Wrong, ask: &Ask, limit: &Limit) -> Result<Option<Answer>, Refusal> {
    match wrong {
        Wrong::Refuse { code: 401, .. } => return Err(Refusal::unauthorized()),
        Wrong::Refuse { code: 429, retry_after } => {
            return Ok(Some(too_many(retry_after.unwrap_or(1))));
        }
        Wrong::Refuse { code, retry_after } => {
            let mut refusal = Refusal::new(*code, "InternalError", "a fault that a test asked for");
            refusal.retry_after = *retry_after;
            return Err(refusal);
        }
        Wrong::Gone if ask.verb == Verb::Watch => {
            let line = error_line(&Refusal::expired(1, 2));
            return Ok(Some(json_answer(StatusCode::OK, line, false)));
        }
        Wrong::Gone => return Err(Refusal::expired(1, 2)),
        Wrong::Garbage { text } => {
            return Ok(Some(json_answer(StatusCode::OK, text.clone().into(), false)));
        }
        Wrong::Endless { bytes } => {
            let mut answer = Response::new(Endless { left: *bytes, begun: false }.boxed());
            answer.headers_mut().insert(CONTENT_TYPE, json_type());
            return Ok(Some(answer));
        }
        Wrong::Cut { after } => limit.cut(*after),
        Wrong::Stall { after } => limit.stall(*after),
        Wrong::Slow { bytes_per_second } => limit.slow(*bytes_per_second),
    }
    Ok(None)
}

fn header<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn json_type() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

fn json_answer(code: StatusCode, body: Bytes, gzip: bool) -> Answer {
    let packed =
        (gzip && body.len() >= COMPRESSED_FROM).then(|| packed(&body)).and_then(Result::ok);
    let encoded = packed.is_some();
    let body = Full::new(packed.map_or(body, Bytes::from)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, json_type());
    if encoded {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn packed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn refused(refusal: &Refusal, gzip: bool) -> Answer {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json_answer(code, refusal.status().to_string().into(), gzip);
    if let Some(seconds) = refusal.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// As the real server's queues refuse: in plain text.
fn too_many(retry_after: u32) -> Answer {
    let text = "Too many requests, please try again later.\n";
    let mut answer = json_answer(StatusCode::TOO_MANY_REQUESTS, text.into(), false);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(RETRY_AFTER, retry_after.into());
    answer
}

/// The beginning of a string, and then its next characters.
struct Endless {
    left: u64,
    begun: bool,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<hyper::body::Frame<Bytes>>>> {
        const PART: [u8; 16 << 10] = [b'x'; 16 << 10];
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        let part = if self.begun {
            Bytes::from_static(&PART)
        } else {
            Bytes::from_static(b"{\"kind\":\"")
        };
        self.begun = true;
        self.left = self.left.saturating_sub(u64::try_from(part.len()).unwrap_or(u64::MAX));
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(part))))
    }
}
