// SPDX-License-Identifier: Apache-2.0
//! Labels: texts that somebody else sorted things by.

use std::sync::Arc;

/// Keys and values, sorted by key. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Sorts `pairs`.
    #[must_use]
    pub fn new(mut pairs: Vec<(Arc<str>, Arc<str>)>) -> Self {
        pairs.sort_unstable();
        Self(pairs.into())
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Keeps the keys that `wanted` approves of.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        if self.0.iter().any(|(key, _)| !wanted(key)) {
            self.0 = self.0.iter().filter(|(key, _)| wanted(key)).cloned().collect();
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_key_and_kept_if_it_is_wanted() {
        let pair = |key: &str| (Arc::from(key), Arc::from(key.to_uppercase()));
        let mut labels = Labels::new(vec![pair("tier"), pair("app"), pair("zone")]);
        assert_eq!(labels.get("app").map(|value| &**value), Some("APP"));
        assert_eq!(labels.get("apps"), None);
        labels.retain(|key| key != "app");
        assert_eq!(labels.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["tier", "zone"]);
    }
}
