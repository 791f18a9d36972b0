use std::{fmt, ops::Bound, sync::Arc};

use super::shared::Era;
use crate::{Bucket, Key, Revision, Stored};

/// The store as it was at one revision, however it goes on.
///
/// A view holds back compaction while it lives: take one for a request, not for a connection.
pub struct View {
    era: Arc<Era>,
    revision: Revision,
    time_ms: u64,
}

impl View {
    pub(super) fn new(era: Arc<Era>, revision: Revision, time_ms: u64) -> Self {
        Self {
            era,
            revision,
            time_ms,
        }
    }

    /// The revision at which this view stands.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The log's time when the view was taken, milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The value under a key.
    pub fn get(&self, key: &Key) -> Option<Stored> {
        let state = self.era.read();
        let chain = state.buckets.get(&key.bucket)?.items.get(&key.name)?;
        chain.at(self.revision)?.stored()
    }

    /// At most `limit` values of a bucket in the order of their names, from the first after `after`.
    pub fn list(&self, bucket: &Bucket, after: Option<&str>, limit: usize) -> Vec<(Key, Stored)> {
        self.entries(bucket, after, limit)
            .into_iter()
            .map(|(key, stored, _)| (key, stored))
            .collect()
    }

    /// Like [`View::list`], with the time at which each value expires.
    pub(crate) fn entries(
        &self,
        bucket: &Bucket,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(Key, Stored, Option<u64>)> {
        let state = self.era.read();
        let Some((bucket, contents)) = state.buckets.get_key_value(bucket) else {
            return Vec::new();
        };
        let from = match after {
            Some(name) => Bound::Excluded(name),
            None => Bound::Unbounded,
        };
        contents
            .items
            .range::<str, _>((from, Bound::Unbounded))
            .filter_map(|(name, chain)| {
                let version = chain.at(self.revision)?;
                let key = Key::new(bucket.clone(), name.clone());
                Some((key, version.stored()?, version.expires_at_ms))
            })
            .take(limit)
            .collect()
    }

    /// How many values a bucket holds.
    pub fn count(&self, bucket: &Bucket) -> usize {
        let state = self.era.read();
        let Some(contents) = state.buckets.get(bucket) else {
            return 0;
        };
        if contents.revision <= self.revision {
            return contents.live;
        }
        contents
            .items
            .values()
            .filter(|chain| chain.at(self.revision).is_some_and(|v| v.value.is_some()))
            .count()
    }

    /// The revision at which anything in the bucket was last created, changed or deleted, as seen from
    /// here. Never too new: a [`crate::Condition::BucketUnchangedSince`] built on it is safe.
    pub fn bucket_revision(&self, bucket: &Bucket) -> Revision {
        let state = self.era.read();
        let last = state.buckets.get(bucket).map_or(0, |c| c.revision);
        if last <= self.revision {
            return last;
        }
        state
            .history
            .until(self.revision)
            .find(|change| change.key.bucket == *bucket)
            .map_or(state.compacted, |change| change.revision)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.era.unpin(self.revision);
    }
}
