// SPDX-License-Identifier: Apache-2.0
//! Which labels and annotations of a pod become attributes of its services.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::KubernetesConfig;
use super::object::{Container, Meta, Pod};
use super::template::Template;

/// Annotations that are resource attributes, by OpenTelemetry's rules for Kubernetes.
pub(super) const ANNOTATION: &str = "resource.opentelemetry.io/";
/// Label by which the replica set of a deployment tells its pods.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";
/// The same, of a rollout of Argo.
pub(super) const ROLLOUT_HASH: &str = "rollouts-pod-template-hash";

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";

/// What is said of pods beside their names.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// For each attribute, the labels it is taken from, the strongest first.
    labels: BTreeMap<String, Vec<String>>,
    template: Option<Template>,
    cluster: Arc<str>,
}

impl Rules {
    /// The rules of `config`.
    #[must_use]
    pub fn new(config: &KubernetesConfig) -> Self {
        let mut labels = config.resource_labels.clone().unwrap_or_else(usual);
        let older = &config.meta_source_labels;
        for (attribute, label) in
            [(SERVICE_NAME, &older.service_name), (SERVICE_NAMESPACE, &older.service_namespace)]
        {
            if let Some(label) = label {
                labels.entry(attribute.to_owned()).or_default().insert(0, label.clone());
            }
        }
        let template = config.service_name_template.clone();
        Self {
            labels,
            template,
            cluster: config.cluster_name.as_deref().unwrap_or_default().into(),
        }
    }

    /// The configured name of the cluster, empty when there is none.
    pub(super) const fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// The name that the configured template gives; nothing when it gives none.
    pub(super) fn templated(&self, pod: &Pod, container: Option<&Container>) -> Option<Arc<str>> {
        let name = self.template.as_ref()?.name(pod, container);
        (!name.is_empty()).then(|| name.into())
    }

    /// What labels say of `attribute`.
    pub(super) fn label<'a>(&self, attribute: &str, meta: &'a Meta) -> Option<&'a Arc<str>> {
        let labels = self.labels.get(attribute)?;
        labels.iter().find_map(|label| meta.labels.get(label)).filter(|value| !value.is_empty())
    }

    /// All attributes that labels give.
    pub(super) fn labelled<'a>(
        &'a self,
        meta: &'a Meta,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<str>)> {
        let attributes = self.labels.keys().map(String::as_str);
        attributes.filter_map(|attribute| Some((attribute, self.label(attribute, meta)?)))
    }

    /// Whether a label matters to those who only see a pod's address.
    pub(super) fn reads_label(&self, key: &str) -> bool {
        let named = self.labels.values().flatten().any(|label| label == key);
        let in_template = self.template.as_ref().is_some_and(|template| template.reads_label(key));
        named || in_template || key == TEMPLATE_HASH || key == ROLLOUT_HASH
    }
}

/// Whether an annotation matters to those who only see a pod's address.
pub(super) fn reads_annotation(key: &str) -> bool {
    key.starts_with(ANNOTATION)
}

/// Labels that Kubernetes recommends.
fn usual() -> BTreeMap<String, Vec<String>> {
    let label = |name: &str| format!("app.kubernetes.io/{name}");
    BTreeMap::from([
        (SERVICE_NAME.to_owned(), vec![label("instance"), label("name")]),
        (SERVICE_NAMESPACE.to_owned(), vec![label("part-of")]),
        ("service.version".to_owned(), vec![label("version")]),
    ])
}
