// SPDX-License-Identifier: Apache-2.0
//! Texts that many objects share: names of namespaces, nodes and images, keys and values of labels.

use std::collections::HashSet;
use std::sync::Arc;

/// Texts below this number are not worth a look through all of them.
const FEW: usize = 1024;

/// One copy of each text.
#[derive(Debug, Default)]
pub(super) struct Words {
    known: HashSet<Arc<str>>,
    /// How many there were after the last look through all of them.
    kept: usize,
}

impl Words {
    /// The copy of `text`.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.known.get(text) {
            return Arc::clone(word);
        }
        let word: Arc<str> = Arc::from(text);
        self.known.insert(Arc::clone(&word));
        word
    }

    /// Forgets what nobody else has any more, when there may be much of it.
    pub(super) fn sweep(&mut self) {
        if self.known.len() > FEW.max(self.kept + self.kept / 4) {
            self.known.retain(|word| Arc::strong_count(word) > 1);
            self.kept = self.known.len();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_are_forgotten() {
        let mut words = Words::default();
        let first = words.share("shop");
        assert!(Arc::ptr_eq(&first, &words.share("shop")));
        for number in 0..FEW {
            words.share(&number.to_string());
        }
        words.sweep();
        assert_eq!(words.len(), 1);
        assert!(Arc::ptr_eq(&first, &words.share("shop")));
    }
}
