use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use super::{Entry, EntryId};

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
}

#[derive(Clone)]
struct Slot {
    id: EntryId,
    /// None until the entry has been handed to the disk.
    place: Option<Place>,
    /// Always there while there is no place, dropped when the cache is full afterwards.
    payload: Option<Bytes>,
    /// The number of truncations before it was appended.
    epoch: u64,
}

/// An entry as found in memory.
#[derive(Debug)]
pub(super) enum Located {
    Cached(Entry),
    OnDisk(EntryId, Place),
}

/// All entries of the log: where they are, and the newest ones themselves.
///
/// Entries are consecutive. The cache is a suffix of them, so that followers that keep up and the
/// state machine never wait for the disk.
pub(super) struct Index {
    slots: VecDeque<Slot>,
    purged: Option<EntryId>,
    epoch: u64,
    cache_limit: usize,
    cached_bytes: usize,
    /// How many slots at the front have no payload.
    uncached: usize,
}

impl Index {
    pub(super) fn new(purged: Option<EntryId>, cache_limit: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            purged,
            epoch: 0,
            cache_limit,
            cached_bytes: 0,
            uncached: 0,
        }
    }

    pub(super) fn purged(&self) -> Option<EntryId> {
        self.purged
    }

    pub(super) fn first(&self) -> Option<EntryId> {
        self.slots.front().map(|slot| slot.id)
    }

    /// The last entry, or the last purged one when there is none.
    pub(super) fn last(&self) -> Option<EntryId> {
        self.slots.back().map(|slot| slot.id).or(self.purged)
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// How many truncations there were.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The index that the next entry must have; an empty log that was never purged takes any.
    pub(super) fn next(&self) -> Option<u64> {
        self.last().map(|id| id.index + 1)
    }

    pub(super) fn id_at(&self, index: u64) -> Option<EntryId> {
        self.position(index)
            .map(|position| self.slots[position].id)
            .or(self.purged.filter(|id| id.index == index))
    }

    /// Adds an entry, which the caller knows to be the next one.
    pub(super) fn append(&mut self, entry: &Entry, place: Option<Place>) {
        self.cached_bytes += entry.payload.len();
        self.slots.push_back(Slot {
            id: entry.id,
            place,
            payload: Some(entry.payload.clone()),
            epoch: self.epoch,
        });
        self.evict();
    }

    /// Removes all entries after `last`; all of them when it is none.
    pub(super) fn truncate_after(&mut self, last: Option<EntryId>) {
        self.epoch += 1;
        while let Some(slot) = self.slots.back()
            && last.is_none_or(|last| slot.id.index > last.index)
        {
            self.cached_bytes -= slot.payload.as_ref().map_or(0, Bytes::len);
            self.slots.pop_back();
        }
        self.uncached = self.uncached.min(self.slots.len());
    }

    /// Removes all entries up to `upto`.
    pub(super) fn purge(&mut self, upto: EntryId) {
        while let Some(slot) = self.slots.front()
            && slot.id.index <= upto.index
        {
            self.cached_bytes -= slot.payload.as_ref().map_or(0, Bytes::len);
            self.slots.pop_front();
            self.uncached = self.uncached.saturating_sub(1);
        }
        self.purged = Some(upto);
    }

    /// Notes where an entry, appended in `epoch`, was written, unless it is gone since.
    pub(super) fn place(&mut self, index: u64, epoch: u64, place: Place) {
        if let Some(position) = self.position(index)
            && self.slots[position].epoch <= epoch
        {
            self.slots[position].place = Some(place);
        }
        self.evict();
    }

    /// The entries of `range` that exist, from its start, until they exceed `max_bytes`; at least one.
    pub(super) fn locate(&self, range: Range<u64>, max_bytes: usize) -> Vec<Located> {
        let Some(start) = self.position(range.start) else {
            return Vec::new();
        };
        let mut bytes = 0;
        let mut found = Vec::new();
        for slot in self.slots.range(start..) {
            if slot.id.index >= range.end || (bytes >= max_bytes && !found.is_empty()) {
                break;
            }
            match (&slot.payload, slot.place) {
                (Some(payload), _) => {
                    bytes += payload.len();
                    found.push(Located::Cached(Entry {
                        id: slot.id,
                        payload: payload.clone(),
                    }));
                }
                (None, Some(place)) => {
                    bytes += place.length;
                    found.push(Located::OnDisk(slot.id, place));
                }
                // Only placed slots lose their payload.
                (None, None) => break,
            }
        }
        found
    }

    fn evict(&mut self) {
        while self.cached_bytes > self.cache_limit
            && let Some(slot) = self.slots.get_mut(self.uncached)
            && slot.place.is_some()
        {
            self.cached_bytes -= slot.payload.take().map_or(0, |payload| payload.len());
            self.uncached += 1;
        }
    }

    fn position(&self, index: u64) -> Option<usize> {
        let first = self.slots.front()?.id.index;
        let position = usize::try_from(index.checked_sub(first)?).ok()?;
        (position < self.slots.len()).then_some(position)
    }
}
