// SPDX-License-Identifier: Apache-2.0
//! One question to a container engine on this machine: the API of Docker, which podman speaks too, over a local socket.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use vor_model::{Attrs, Key, Labels, Workload};

use super::image;

/// Bytes of an answer; containers with many mounts and labels have long ones.
const MAX_ANSWER: usize = 1 << 20;
/// Labels of one container, and bytes of one of them.
const MAX_LABELS: usize = 128;
const MAX_LABEL: usize = 1024;

const CONTAINER_NAME: Key = Key::new("container.name");
/// What `docker compose` and `podman compose` say of their containers.
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// Why an engine gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("cannot reach it: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("it breaks off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("it refuses: {0}")]
    Refused(StatusCode),
    #[error("it answers what cannot be read: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image_name: Option<String>,
    #[serde(default)]
    config: Settings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
}

/// What the engine behind `socket` knows of a container; nothing when it is not one of its own.
pub(super) async fn ask(socket: &Path, id: &Arc<str>) -> Result<Option<Workload>, EngineError> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("/containers/{id}/json"))
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| EngineError::Unreadable(error.into()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    connection.abort();
    match status {
        StatusCode::OK => {
            let body = body.map_err(EngineError::Unreadable)?.to_bytes();
            let inspected = serde_json::from_slice(&body);
            let inspected = inspected.map_err(|error| EngineError::Unreadable(error.into()))?;
            Ok(Some(describe(id, inspected)))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(EngineError::Refused(other)),
    }
}

fn describe(id: &Arc<str>, inspected: Inspected) -> Workload {
    let Inspected { name, image_name, config } = inspected;
    let mut attrs = Attrs::new();
    let name = name.trim_start_matches('/');
    if !name.is_empty() && name.len() <= MAX_LABEL {
        attrs.set(CONTAINER_NAME, name.to_owned());
    }
    let image = config.image.filter(|image| !image.is_empty()).or(image_name).unwrap_or_default();
    image::describe(&mut attrs, id, if image.len() <= MAX_LABEL { &image } else { "" });
    let short =
        |(key, value): &(String, String)| key.len() <= MAX_LABEL && value.len() <= MAX_LABEL;
    let labels = config.labels.unwrap_or_default().into_iter().filter(short).take(MAX_LABELS);
    let labels = Labels::new(labels.map(|(key, value)| (key.into(), value.into())).collect());
    let compose = |key| labels.get(key).cloned().unwrap_or_default();
    Workload {
        name: compose(COMPOSE_SERVICE),
        namespace: compose(COMPOSE_PROJECT),
        named_by: "compose",
        labels,
        attrs,
        ..Workload::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_its_name_its_image_and_the_service_it_was_composed_for() {
        let answer = r#"{"Id": "c1", "Name": "/shop-cart-1", "Image": "sha256:00", "Config": {
            "Image": "shop/cart:1.2", "Labels": {"com.docker.compose.service": "cart",
            "com.docker.compose.project": "shop"}}}"#;
        let found = describe(&"c1".into(), serde_json::from_str(answer).unwrap());
        assert_eq!((&*found.name, &*found.namespace), ("cart", "shop"));
        let told: Vec<_> =
            found.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            told,
            [
                "container.name=shop-cart-1",
                "container.id=c1",
                "container.image.name=shop/cart",
                "container.image.tags=[\"1.2\"]"
            ]
        );
    }

    #[test]
    fn what_is_missing_is_missing() {
        let found = describe(&"c1".into(), serde_json::from_str("{}").unwrap());
        assert!(found.name.is_empty() && found.labels.iter().next().is_none());
        assert_eq!(found.attrs.len(), 1);
        assert!(serde_json::from_str::<Inspected>("7").is_err());
    }
}
