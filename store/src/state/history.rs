//! The recent changes, in order, for watchers: a ring bounded by count and by bytes.

use std::{collections::VecDeque, sync::Arc};

use crate::{Change, Revision};

/// How much of the past a member keeps in memory for watchers and for views of older revisions.
///
/// Each member keeps its own; what one has forgotten another may still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// At most this many changes.
    pub changes: usize,
    /// At most about this many bytes of keys and values.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            changes: 10_000,
            bytes: 32 << 20,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct History {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
}

/// What an entry of the ring costs beside its key and values.
const OVERHEAD: usize = 160;

fn cost(change: &Change) -> usize {
    OVERHEAD
        + change.key.name.len()
        + change.value.as_ref().map_or(0, |v| v.len())
        + change.previous.as_ref().map_or(0, |p| p.value.len())
}

impl History {
    pub(crate) fn push(&mut self, change: Arc<Change>) {
        self.bytes += cost(&change);
        self.changes.push_back(change);
    }

    /// The changes after `revision`, oldest first.
    pub(crate) fn after(&self, revision: Revision) -> impl Iterator<Item = &Arc<Change>> {
        let start = self.changes.partition_point(|c| c.revision <= revision);
        self.changes.range(start..)
    }

    /// The changes until `revision`, newest first.
    pub(crate) fn until(&self, revision: Revision) -> impl Iterator<Item = &Arc<Change>> {
        let end = self.changes.partition_point(|c| c.revision <= revision);
        self.changes.range(..end).rev()
    }

    /// Takes out the oldest revision with all its changes if the ring is over its limits and nobody
    /// needs that revision as past: every view that is still held stands at `floor` or later.
    pub(crate) fn evict(
        &mut self,
        limits: &HistoryLimits,
        floor: Revision,
    ) -> Option<(Revision, Vec<Arc<Change>>)> {
        if self.changes.len() <= limits.changes && self.bytes <= limits.bytes {
            return None;
        }
        let revision = self.changes.front()?.revision;
        if revision > floor {
            return None;
        }
        let mut evicted = Vec::new();
        while self.changes.front().is_some_and(|c| c.revision == revision) {
            if let Some(change) = self.changes.pop_front() {
                self.bytes -= cost(&change);
                evicted.push(change);
            }
        }
        Some((revision, evicted))
    }

    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.bytes = 0;
    }
}
