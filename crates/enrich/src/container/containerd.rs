// SPDX-License-Identifier: Apache-2.0
//! The API of containerd (gRPC), which knows the containers of `nerdctl`, `ctr` and of Kubernetes, each in a namespace.

use std::collections::HashMap;
use std::path::Path;

use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

use super::engine::{EngineError, MAX_ANSWER, Told, answer, channel};
use proto::containers::containers_client::ContainersClient;
use proto::containers::{Container, GetContainerRequest};
use proto::namespaces::ListNamespacesRequest;
use proto::namespaces::namespaces_client::NamespacesClient;

/// By which header a question says which namespace it is about.
const NAMESPACE: &str = "containerd-namespace";
/// Labels by which `nerdctl` and the kubelet name containers.
const NAMES: [&str; 2] = ["nerdctl/name", "io.kubernetes.container.name"];

pub(super) async fn ask(socket: &Path, id: &str) -> Result<Option<Told>, EngineError> {
    let channel = channel(socket).await?;
    let mut namespaces =
        NamespacesClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER);
    let mut containers = ContainersClient::new(channel).max_decoding_message_size(MAX_ANSWER);
    let listed = answer(namespaces.list(ListNamespacesRequest {}).await)?;
    for namespace in listed.into_iter().flat_map(|listed| listed.namespaces) {
        let Ok(name) = AsciiMetadataValue::try_from(namespace.name) else { continue };
        let mut question = Request::new(GetContainerRequest { id: id.to_owned() });
        question.metadata_mut().insert(NAMESPACE, name);
        let found = answer(containers.get(question).await)?.and_then(|found| found.container);
        if let Some(found) = found {
            return Ok(Some(told(found)));
        }
    }
    Ok(None)
}

fn told(found: Container) -> Told {
    let Container { labels, image, .. } = found;
    let name = NAMES.iter().find_map(|name| labels.get(*name)).cloned();
    let labels: HashMap<_, _> = labels;
    Told { name: name.unwrap_or_default(), image, labels: labels.into_iter().collect() }
}

/// Generated from `proto/containerd_*.proto`.
mod proto {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::pedantic,
        clippy::as_conversions,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]

    pub(super) mod containers {
        tonic::include_proto!("containerd.services.containers.v1");
    }
    pub(super) mod namespaces {
        tonic::include_proto!("containerd.services.namespaces.v1");
    }
}
