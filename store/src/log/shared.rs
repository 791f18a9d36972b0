use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::{
    EntryId, Health,
    index::{Index, Place},
    operation::Operation,
    recovery::Recovery,
    segment::Segment,
};

/// What the callers of a log and its writer both use.
pub(super) struct Shared {
    state: Mutex<Content>,
    wake: Condvar,
}

pub(super) struct Content {
    pub(super) index: Index,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<EntryId>,
    pub(super) queue: VecDeque<Operation>,
    /// Whether the writer has not seen the newest `committed`.
    pub(super) hint: bool,
    /// The files that entries may have to be read from.
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) health: Health,
    pub(super) syncs: u64,
    pub(super) closing: bool,
}

impl Content {
    pub(super) fn new(index: Index, recovery: &Recovery) -> Self {
        let sealed = recovery.sealed.iter().chain([&recovery.active]);
        Self {
            index,
            vote: recovery.state.vote.clone(),
            committed: recovery.state.committed,
            queue: VecDeque::new(),
            hint: false,
            segments: sealed
                .map(|sealed| (sealed.segment.sequence, sealed.segment.clone()))
                .collect(),
            health: Health::Good,
            syncs: 0,
            closing: false,
        }
    }
}

impl Shared {
    pub(super) fn new(content: Content) -> Self {
        Self {
            state: Mutex::new(content),
            wake: Condvar::new(),
        }
    }

    /// Nothing under this lock waits for a disk.
    pub(super) fn lock(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until there is something to write, or the time is up; false when the log is to be closed.
    pub(super) fn wait(&self, at_most: Option<Duration>) -> bool {
        let idle =
            |content: &mut Content| content.queue.is_empty() && !content.hint && !content.closing;
        let guard = self.lock();
        let guard = match at_most {
            None => self
                .wake
                .wait_while(guard, idle)
                .unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                self.wake
                    .wait_timeout_while(guard, time, idle)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        !(guard.closing && guard.queue.is_empty())
    }

    /// Moves everything that arrived to what waits; returns the commit point.
    pub(super) fn take(&self, waiting: &mut VecDeque<Operation>) -> Option<EntryId> {
        let mut content = self.lock();
        content.hint = false;
        waiting.append(&mut content.queue);
        content.committed
    }

    /// Notes where entries (index, epoch, place) were written.
    pub(super) fn place(&self, placed: impl Iterator<Item = (u64, u64, Place)>) {
        let mut content = self.lock();
        for (index, epoch, place) in placed {
            content.index.place(index, epoch, place);
        }
    }
}
