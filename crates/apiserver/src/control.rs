// SPDX-License-Identifier: Apache-2.0
//! The test's wishes over HTTP: `POST` changes, `GET` tells.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Everything that can be wished: method, path, what the body says, what happens.
pub const WISHES: &str = "\
GET    /asked        what was asked so far: [{user, verb, group, resource, namespaced, times}]
DELETE /asked        count anew
GET    /state        {version, watches}
POST   /objects      put an object, or an array of them, status included
DELETE /objects      {kind, namespace, name}
POST   /generate     {pods, services, nodes, namespaces}, each with a default
POST   /touch        {pods}: change so many pods
POST   /compact      forget history: who continues is told 410
POST   /faults       {verb?, resource?, times?, what}; what: {refuse: {code, retry_after?}}, \"gone\",
                     {cut: {after}}, {stall: {after}}, {slow: {bytes_per_second}}, {garbage: {text}},
                     {endless: {bytes}}
DELETE /faults       nothing goes wrong any more
POST   /accounts     {token, user, rules?, lasts_ms?}; rules as in a ClusterRole
DELETE /accounts     {token}
POST   /end-watches  end all watches in good order
POST   /away         refuse connections, cut those that are open
POST   /back         be there again
POST   /skew         {seconds}: the clock is wrong by so much
POST   /bookmarks    {every_ms}
";

pub(crate) async fn control(
    cluster: &Cluster,
    request: Request<Incoming>,
) -> Response<BoxBody<Bytes, io::Error>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return answer(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match wish(cluster, &method, &path, &body) {
        Ok(told) => answer(StatusCode::OK, told),
        Err(error) => answer(StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}

fn answer(code: StatusCode, text: String) -> Response<BoxBody<Bytes, io::Error>> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = code;
    answer
}

fn wish(cluster: &Cluster, method: &Method, path: &str, body: &[u8]) -> Result<String> {
    let sent = || serde_json::from_slice::<Value>(body).context("the body is not JSON");
    let number = |value: &Value, key: &str| {
        value[key].as_i64().with_context(|| format!("{key}: a number is missing"))
    };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match (method.as_str(), path) {
        ("GET", "/") => return Ok(WISHES.to_owned()),
        ("GET", "/asked") => return Ok(serde_json::to_string(&cluster.asked())?),
        ("GET", "/state") => {
            let state = json!({"version": cluster.version(), "watches": cluster.watches()});
            return Ok(state.to_string());
        }
        ("DELETE", "/asked") => cluster.forget_asked(),
        ("POST", "/objects") => match sent()? {
            Value::Array(objects) => {
                objects.into_iter().try_for_each(|o| cluster.put(o).map(drop))?;
            }
            object => drop(cluster.put(object)?),
        },
        ("DELETE", "/objects") => {
            let of = sent()?;
            if !cluster.delete(&text(&of, "kind"), &text(&of, "namespace"), &text(&of, "name")) {
                bail!("there is no such object");
            }
        }
        ("POST", "/generate") => {
            let size = if body.is_empty() { json!({}) } else { sent()? };
            cluster.generate(serde_json::from_value(size)?)?;
        }
        ("POST", "/touch") => cluster.touch(usize::try_from(number(&sent()?, "pods")?)?),
        ("POST", "/compact") => cluster.compact(),
        ("POST", "/faults") => cluster.fault(serde_json::from_slice(body)?),
        ("DELETE", "/faults") => cluster.clear_faults(),
        ("POST", "/accounts") => cluster.admit(serde_json::from_slice(body)?),
        ("DELETE", "/accounts") => cluster.revoke(&text(&sent()?, "token")),
        ("POST", "/end-watches") => cluster.end_watches(),
        ("POST", "/away") => cluster.set_present(false),
        ("POST", "/back") => cluster.set_present(true),
        ("POST", "/skew") => {
            cluster.set_skew(SignedDuration::from_secs(number(&sent()?, "seconds")?));
        }
        ("POST", "/bookmarks") => {
            let every = u64::try_from(number(&sent()?, "every_ms")?)?.max(1);
            cluster.set_bookmarks(Duration::from_millis(every));
        }
        _ => bail!("no such wish; there are:\n{WISHES}"),
    }
    Ok("done\n".to_owned())
}
