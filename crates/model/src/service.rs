// SPDX-License-Identifier: Apache-2.0
//! What a process is called.

use std::sync::Arc;

use crate::attrs::Attrs;
use crate::process::Language;

/// A service instance: the resource that spans and metrics belong to. Replaced as a whole when more is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// `service.name`.
    pub name: Arc<str>,
    /// `service.namespace`, empty when it has none.
    pub namespace: Arc<str>,
    /// `service.instance.id`.
    pub instance: Arc<str>,
    /// `telemetry.sdk.language`.
    pub language: Language,
    /// Whether `name` is only the executable's, so that something better may replace it.
    pub auto_name: bool,
    /// Every other resource attribute.
    pub attrs: Attrs,
}

impl Service {
    /// `namespace/name`, or the name alone.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}
