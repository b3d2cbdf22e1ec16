// SPDX-License-Identifier: Apache-2.0
//! One question to a container engine on this machine, in the language that it speaks.

use std::path::Path;
use std::sync::Arc;

use tonic::transport::{Channel, Endpoint};
use vor_model::{Attrs, Key, Labels, Workload};

use super::{containerd, cri, docker, image};

/// Bytes of an answer; containers with many mounts and labels have long ones.
pub(super) const MAX_ANSWER: usize = 1 << 20;
/// Labels of one container, and bytes of one of them.
const MAX_LABELS: usize = 128;
const MAX_LABEL: usize = 1024;

const CONTAINER_NAME: Key = Key::new("container.name");
/// What `compose` of Docker, podman and nerdctl says of its containers.
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// Why an engine gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("cannot reach it: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it breaks off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it answers what cannot be read: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
}

/// What an engine says of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) labels: Vec<(String, String)>,
}

/// What the engine behind `socket` knows of a container; nothing when it is not one of its own. The socket's name tells
/// what it speaks.
pub(super) async fn ask(socket: &Path, id: &Arc<str>) -> Result<Option<Workload>, EngineError> {
    let told = match socket.file_name().and_then(|name| name.to_str()) {
        Some("containerd.sock") => containerd::ask(socket, id).await?,
        Some("crio.sock") => cri::ask(socket, id).await?,
        _ => docker::ask(socket, id).await?,
    };
    Ok(told.map(|told| describe(id, told)))
}

/// A connection to an engine that speaks gRPC.
pub(super) async fn channel(socket: &Path) -> Result<Channel, EngineError> {
    let unreachable = |error: tonic::transport::Error| EngineError::Unreachable(error.into());
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
    endpoint.map_err(unreachable)?.connect().await.map_err(unreachable)
}

/// An answer of gRPC; nothing when the engine knows no such thing.
pub(super) fn answer<T>(
    answer: Result<tonic::Response<T>, tonic::Status>,
) -> Result<Option<T>, EngineError> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => {
            Err(EngineError::Refused(format!("{}: {}", status.code(), status.message())))
        }
    }
}

fn describe(id: &Arc<str>, told: Told) -> Workload {
    let Told { name, image, labels } = told;
    let mut attrs = Attrs::new();
    if !name.is_empty() && name.len() <= MAX_LABEL {
        attrs.set(CONTAINER_NAME, name);
    }
    image::describe(&mut attrs, id, if image.len() <= MAX_LABEL { &image } else { "" });
    let short =
        |(key, value): &(String, String)| key.len() <= MAX_LABEL && value.len() <= MAX_LABEL;
    let labels = labels.into_iter().filter(short).take(MAX_LABELS);
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
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let told = Told {
            name: "shop-cart-1".into(),
            image: "shop/cart:1.2".into(),
            labels: vec![label(COMPOSE_SERVICE, "cart"), label(COMPOSE_PROJECT, "shop")],
        };
        let found = describe(&"c1".into(), told);
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
    fn what_is_missing_is_missing_and_what_is_far_too_long_is_left_out() {
        let found = describe(&"c1".into(), Told::default());
        assert!(found.name.is_empty() && found.labels.iter().next().is_none());
        assert_eq!(found.attrs.len(), 1);
        let long = "x".repeat(1 << 16);
        let labels = (0..1000).map(|n| (n.to_string(), "v".to_owned()));
        let labels = labels.chain([("long".to_owned(), long.clone())]).collect();
        let found = describe(&"c1".into(), Told { name: long.clone(), image: long, labels });
        assert_eq!((found.attrs.len(), found.labels.iter().count()), (1, MAX_LABELS));
    }
}
