// SPDX-License-Identifier: Apache-2.0
//! The API that the kubelet speaks with a runtime (CRI, gRPC). CRI-O has no other that names containers.

use std::path::Path;

use super::engine::{EngineError, MAX_ANSWER, Told, answer, channel};
use proto::runtime_service_client::RuntimeServiceClient;
use proto::{ContainerStatus, ContainerStatusRequest};

pub(super) async fn ask(socket: &Path, id: &str) -> Result<Option<Told>, EngineError> {
    let client = RuntimeServiceClient::new(channel(socket).await?);
    let mut client = client.max_decoding_message_size(MAX_ANSWER);
    let question = ContainerStatusRequest { container_id: id.to_owned() };
    let found = answer(client.container_status(question).await)?.and_then(|found| found.status);
    Ok(found.map(|found| {
        let ContainerStatus { metadata, image, labels, .. } = found;
        Told {
            name: metadata.map(|metadata| metadata.name).unwrap_or_default(),
            image: image.map(|image| image.image).unwrap_or_default(),
            labels: labels.into_iter().collect(),
        }
    }))
}

/// Generated from `proto/cri.proto`.
mod proto {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::pedantic,
        clippy::as_conversions,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    tonic::include_proto!("runtime.v1");
}
