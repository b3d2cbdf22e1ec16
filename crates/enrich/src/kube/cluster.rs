// SPDX-License-Identifier: Apache-2.0
//! What the cluster is called when no setting says so: by its nodes, or by the cloud's metadata service where a node says
//! that it runs in one that has the name there.

use std::time::Duration;

use kube::{Client, Config};

use super::object::{Node, Object};

/// Where the clouds answer their machines.
const METADATA: &str = "http://169.254.169.254";
/// How long a metadata service may take: it is near, or not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Labels and annotations of nodes whose value is the cluster's name.
const NAMES: [&str; 4] = [
    "alpha.eksctl.io/cluster-name",
    "cluster.x-k8s.io/cluster-name",
    "karpenter.k8s.aws/cluster-name",
    "eks.amazonaws.com/cluster-name",
];
/// Label by which AKS tells the resource group of the nodes: `MC_GROUP_CLUSTER_REGION`.
const AKS_GROUP: &str = "kubernetes.azure.com/cluster";

/// The name that one of these nodes tells.
pub(super) fn by_nodes<'a>(nodes: impl IntoIterator<Item = &'a Object>) -> Option<String> {
    nodes.into_iter().find_map(|object| match object {
        Object::Node(node) => by_node(node),
        Object::Pod(_) | Object::Service(_) | Object::Job(_) => None,
    })
}

fn by_node(node: &Node) -> Option<String> {
    let told = |key: &&str| node.meta.labels.get(key).or_else(|| node.meta.annotations.get(key));
    if let Some(name) = NAMES.iter().find_map(told).filter(|name| !name.is_empty()) {
        return Some(name.to_string());
    }
    if let Some(name) = node.meta.labels.get(AKS_GROUP).and_then(|group| of_group(group)) {
        return Some(name);
    }
    match node.provider_id.split_once("://")? {
        // kind://docker/CLUSTER/NODE
        ("kind", place) => {
            place.split('/').nth(1).filter(|name| !name.is_empty()).map(str::to_owned)
        }
        // azure:///subscriptions/ID/resourceGroups/GROUP/…
        ("azure", place) => {
            let mut parts = place.split('/').skip_while(|part| *part != "resourceGroups");
            of_group(parts.nth(1)?)
        }
        _ => None,
    }
}

/// The cluster of the group that AKS makes for its nodes.
fn of_group(group: &str) -> Option<String> {
    let mut parts = group.split('_');
    let (mark, _group, name, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_aks = mark.eq_ignore_ascii_case("mc") && !name.is_empty() && !region.is_empty();
    (is_aks && parts.next().is_none()).then(|| name.to_owned())
}

/// What to ask the metadata service of the cloud that `provider_id` names: a path and a header.
fn question(provider_id: &str) -> Option<(&'static str, Option<(&'static str, &'static str)>)> {
    match provider_id.split_once("://")?.0 {
        "gce" => Some((
            "/computeMetadata/v1/instance/attributes/cluster-name",
            Some(("metadata-flavor", "Google")),
        )),
        // Only where the instance's tags may be read there.
        "aws" => Some(("/latest/meta-data/tags/instance/eks:cluster-name", None)),
        _ => None,
    }
}

/// The name that the cloud's metadata service tells.
pub(super) async fn by_cloud(provider_id: &str) -> Option<String> {
    let (path, header) = question(provider_id)?;
    let mut way = Config::new(METADATA.parse().ok()?);
    way.connect_timeout = Some(PATIENCE);
    way.read_timeout = Some(PATIENCE);
    way.default_retry = false;
    let client = Client::try_from(way).ok()?;
    let mut request = http::Request::get(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    } else if let Some(token) = token(&client).await {
        request = request.header("x-aws-ec2-metadata-token", token);
    }
    ask(&client, request).await
}

/// What the service of AWS gives to those who ask for more.
async fn token(client: &Client) -> Option<String> {
    let seconds = "x-aws-ec2-metadata-token-ttl-seconds";
    ask(client, http::Request::put("/latest/api/token").header(seconds, "60")).await
}

async fn ask(client: &Client, request: http::request::Builder) -> Option<String> {
    let request = request.body(Vec::new()).ok()?;
    let answer = tokio::time::timeout(PATIENCE, client.request_text(request)).await.ok()?.ok()?;
    let answer = answer.trim();
    (!answer.is_empty() && answer.len() <= 256 && !answer.contains('\n')).then(|| answer.to_owned())
}

#[cfg(test)]
mod tests {
    use vor_model::Labels;

    use super::*;
    use crate::kube::object::Meta;

    fn node(labels: &[(&str, &str)], provider_id: &str) -> Object {
        let pairs = labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Object::Node(Node {
            meta: Meta {
                uid: "u".into(),
                name: "n".into(),
                namespace: "".into(),
                owner: None,
                labels: Labels::new(pairs.collect()),
                annotations: Labels::default(),
            },
            ips: Box::default(),
            provider_id: provider_id.into(),
            machine_id: "".into(),
        })
    }

    #[test]
    fn nodes_tell_their_cluster_in_several_ways() {
        let azure = "azure:///subscriptions/1/resourceGroups/mc_rg_shop_westeurope/providers/x";
        for (labels, provider_id, expected) in [
            (&[("alpha.eksctl.io/cluster-name", "eks")][..], "aws:///a/i-1", Some("eks")),
            (&[("kubernetes.azure.com/cluster", "MC_rg_shop_westeurope")], "", Some("shop")),
            (&[], azure, Some("shop")),
            (&[], "kind://docker/test/test-worker", Some("test")),
            (&[("kubernetes.azure.com/cluster", "custom")], "", None),
            (&[], "gce://project/zone/node", None),
            (&[], "", None),
        ] {
            assert_eq!(
                by_nodes([&node(labels, provider_id)]).as_deref(),
                expected,
                "{provider_id}"
            );
        }
        assert_eq!(by_nodes([]), None);
    }

    #[test]
    fn only_clouds_that_have_the_name_are_asked() {
        assert!(question("gce://project/zone/node").is_some());
        assert!(question("aws:///zone/i-1").is_some());
        assert!(question("kind://docker/a/b").is_none() && question("").is_none());
    }
}
