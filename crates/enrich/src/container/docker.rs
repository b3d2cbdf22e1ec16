// SPDX-License-Identifier: Apache-2.0
//! The API of Docker (HTTP), which podman speaks too.

use std::collections::HashMap;
use std::path::Path;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::engine::{EngineError, MAX_ANSWER, Told};

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

pub(super) async fn ask(socket: &Path, id: &str) -> Result<Option<Told>, EngineError> {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| EngineError::Unreachable(error.into()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
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
            Ok(Some(told(inspected)))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(EngineError::Refused(other.to_string())),
    }
}

fn told(inspected: Inspected) -> Told {
    let Inspected { name, image_name, config } = inspected;
    Told {
        name: name.trim_start_matches('/').to_owned(),
        image: config.image.filter(|image| !image.is_empty()).or(image_name).unwrap_or_default(),
        labels: config.labels.into_iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_an_image_and_labels_are_read_of_what_docker_and_podman_say() {
        let read = |text: &str| told(serde_json::from_str(text).unwrap());
        let labels = vec![("tier".to_owned(), "back".to_owned())];
        let expected = Told { name: "cart-1".into(), image: "shop/cart:1.2".into(), labels };
        let docker = r#"{"Id": "c1", "Name": "/cart-1", "Image": "sha256:00",
            "Config": {"Image": "shop/cart:1.2", "Labels": {"tier": "back"}}}"#;
        let podman = r#"{"Name": "cart-1", "ImageName": "shop/cart:1.2",
            "Config": {"Image": "", "Labels": {"tier": "back"}}}"#;
        assert_eq!((read(docker), read(podman)), (read(podman), expected));
        assert_eq!(read("{}"), Told::default());
        assert!(serde_json::from_str::<Inspected>("7").is_err());
    }
}
