// SPDX-License-Identifier: Apache-2.0
//! Digests of what an agent holds.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Buckets at most: half a megabyte of digests.
const MAX_BUCKETS: usize = 1 << 16;

/// The hash of bytes. Both sides must agree on it; if they do not, everything is told anew.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Digests of objects in buckets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests(Vec<u64>);

impl Digests {
    /// Of nothing, with as many buckets as `objects` are worth: about two in each.
    pub(super) fn sized(objects: usize) -> Self {
        Self(vec![0; (objects / 2).next_power_of_two().clamp(1, MAX_BUCKETS)])
    }

    /// Of nothing, with this number of buckets, if that can be.
    pub(super) fn empty(buckets: usize) -> Option<Self> {
        (buckets.is_power_of_two() && buckets <= MAX_BUCKETS).then(|| Self(vec![0; buckets]))
    }

    /// In which bucket an object belongs.
    pub(super) fn bucket(&self, uid: &str) -> usize {
        let mask = u64::try_from(self.0.len()).unwrap_or(1).saturating_sub(1);
        usize::try_from(hash(uid.as_bytes()) & mask).unwrap_or_default()
    }

    /// Adds an object.
    pub(super) fn add(&mut self, uid: &str, hash: u64) {
        let bucket = self.bucket(uid);
        if let Some(digest) = self.0.get_mut(bucket) {
            *digest ^= hash;
        }
    }

    /// For each bucket whether it differs from `other`'s.
    pub(super) fn differ(&self, other: &[u64]) -> Vec<bool> {
        self.0.iter().zip(other).map(|(own, other)| own != other).collect()
    }

    pub(super) fn into_inner(self) -> Vec<u64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bucket_of_what_changed_differs_whatever_the_order() {
        let uids: Vec<_> = (0..1000).map(|n| format!("uid-{n}")).collect();
        let mut one = Digests::sized(1000);
        let mut other = Digests::empty(512).unwrap();
        for (n, uid) in uids.iter().enumerate() {
            one.add(uid, u64::try_from(n).unwrap() * 77);
        }
        for (n, uid) in uids.iter().enumerate().rev() {
            other.add(uid, u64::try_from(n).unwrap() * 77 + u64::from(n == 500));
        }
        let changed = one.bucket("uid-500");
        let differ = one.differ(&other.into_inner());
        let stale: Vec<_> = (0..differ.len()).filter(|at| differ[*at]).collect();
        assert_eq!(stale, [changed]);
    }

    #[test]
    fn a_number_of_buckets_that_is_no_power_of_two_is_refused() {
        for buckets in [0, 3, 1 << 17] {
            assert!(Digests::empty(buckets).is_none(), "{buckets}");
        }
        assert_eq!(Digests::sized(0).into_inner().len(), 1);
    }
}
