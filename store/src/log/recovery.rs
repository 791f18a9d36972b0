//! Reading a log back after anything.
//!
//! Segments are read from the oldest to the newest. All but the last were synced to their end before
//! the next one got its name, so everything in them must be right. The end of the last one is judged by
//! [`super::tail`].
//!
//! Records behind the last durable note are whole, but nobody knows whether they are on the platter: a
//! process may have died between its write and its sync, or after a sync that *failed*, after which the
//! kernel shows bytes that it will never write. Syncing the file again would prove nothing. They are
//! therefore written anew, to the beginning of a fresh segment, whose header says where the valid
//! part of the old one ends. Notes and commit points there are worth no new segment and are written again
//! in place, the same bytes, so that the next sync covers them.

use std::collections::VecDeque;

use super::{
    EntryId, LogError, LogOptions, Torn,
    index::{Index, Place},
    record::{Damage, Record, State},
    segment::{self, Header, Segment},
    tail::{self, Tail},
};
use crate::disk::{self, Disk};

/// A segment that takes no more records.
pub(super) struct Sealed {
    pub(super) segment: Segment,
    /// The highest entry index in it; it may go when that is purged.
    pub(super) highest: Option<u64>,
}

/// Where a log ended.
pub(super) struct Recovery {
    pub(super) state: State,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) active: Sealed,
    /// Where the next record goes.
    pub(super) end: u64,
    pub(super) torn: Option<Torn>,
}

/// Reads the log, or makes an empty one.
pub(super) fn recover(
    disk: &dyn Disk,
    options: &LogOptions,
) -> Result<(Index, Recovery), LogError> {
    segment::discard_scratch(disk)?;
    let Found { kept, leftover } = find(disk)?;
    // A process that died between naming a segment and making the name durable left a name that can be seen
    // and lost. Nothing may be written there before that is put right.
    disk.sync_dir()?;
    let recovered = match kept.split_last() {
        Some((last, full)) => replay(disk, options, full, *last)?,
        None => create(disk, options)?,
    };
    for sequence in leftover {
        disk.remove(&segment::name(sequence))?;
    }
    Ok(recovered)
}

struct Found {
    /// The longest row of consecutive segments that ends with the newest one.
    kept: Vec<u64>,
    /// Older ones: they were purged, and the power failed while they were being removed.
    leftover: Vec<u64>,
}

fn find(disk: &dyn Disk) -> Result<Found, LogError> {
    let names = disk.list()?;
    let mut leftover: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::sequence(name))
        .collect();
    leftover.sort_unstable();
    let gap = leftover.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    let kept = leftover.split_off(gap.map_or(0, |before| before + 1));
    Ok(Found { kept, leftover })
}

fn create(disk: &dyn Disk, options: &LogOptions) -> Result<(Index, Recovery), LogError> {
    let state = State::default();
    let size = options.size_for(segment::needed(&state, &[]));
    let scratch = segment::allocate(disk, size)?;
    let (segment, end, _) = segment::publish(disk, scratch, 1, 0, &state, &[])?;
    let recovery = Recovery {
        state,
        sealed: VecDeque::new(),
        active: Sealed {
            segment,
            highest: None,
        },
        end,
        torn: None,
    };
    Ok((Index::new(None, options.cache_bytes), recovery))
}

fn replay(
    disk: &dyn Disk,
    options: &LogOptions,
    full: &[u64],
    last: u64,
) -> Result<(Index, Recovery), LogError> {
    let mut headers = Vec::new();
    let mut segments = Vec::new();
    for &sequence in full.iter().chain([&last]) {
        let file = disk.open(&segment::name(sequence))?;
        let header = Header::read(sequence, &*file)?;
        headers.push(header);
        segments.push(Segment {
            sequence,
            size: header.size,
            file,
        });
    }
    let mut replay = Replay {
        index: Index::new(None, options.cache_bytes),
        state: State::default(),
        started: false,
    };
    let mut sealed = VecDeque::new();
    for (segment, next) in segments.iter().zip(headers.iter().skip(1)) {
        let bytes = disk::read_all(&*segment.file)?;
        let scan = scan(segment.sequence, &bytes, next.previous_end);
        if scan.end as u64 != next.previous_end {
            return Err(LogError::Corrupt {
                file: segment::name(segment.sequence),
                offset: scan.end as u64,
                reason: format!(
                    "a record is unreadable, the segment is valid up to byte {}",
                    next.previous_end
                ),
            });
        }
        sealed.push_back(replay.segment(segment, scan.records)?);
    }

    // The loop above stopped before the last one, and there is at least that one.
    let (Some(segment), Some(header)) = (segments.pop(), headers.pop()) else {
        return create(disk, options);
    };
    let Last {
        synced,
        mut unsynced,
        unsynced_bytes,
        durable,
        mut end,
        torn,
    } = read_last(&segment, &header)?;
    let mut active = replay.segment(&segment, synced)?;
    let is_hint = |record: &Record| matches!(record, Record::Durable(_) | Record::Committed(_));
    if torn.is_none() && unsynced.iter().all(is_hint) {
        segment.file.write_at(durable, &unsynced_bytes)?;
        replay.hints(unsynced);
    } else {
        // Notes are about the segment they are in.
        unsynced.retain(|record| !matches!(record, Record::Durable(_)));
        let size = options.size_for(segment::needed(&replay.state, &unsynced));
        let scratch = segment::allocate(disk, size)?;
        let (fresh, fresh_end, places) =
            segment::publish(disk, scratch, last + 1, durable, &replay.state, &unsynced)?;
        sealed.push_back(active);
        active = replay.segment(&fresh, places.into_iter().zip(unsynced).collect())?;
        end = fresh_end;
    }
    replay.finish(full.first().copied().unwrap_or(last))?;
    let recovery = Recovery {
        state: replay.state,
        sealed,
        active,
        end,
        torn,
    };
    Ok((replay.index, recovery))
}

/// What the newest segment holds.
struct Last {
    /// What is known to be durable.
    synced: Vec<(Place, Record)>,
    /// What is whole and may not be durable.
    unsynced: Vec<Record>,
    unsynced_bytes: Vec<u8>,
    /// Where the one ends and the other begins.
    durable: u64,
    end: u64,
    torn: Option<Torn>,
}

fn read_last(segment: &Segment, header: &Header) -> Result<Last, LogError> {
    let corrupt = |offset: u64, reason: String| LogError::Corrupt {
        file: segment::name(segment.sequence),
        offset,
        reason,
    };
    let bytes = disk::read_all(&*segment.file)?;
    let Scan {
        records: mut synced,
        end,
        damage,
    } = scan(segment.sequence, &bytes, header.size);
    let durable = durable(header, &synced);
    let mut torn = None;
    if let Some(damage) = damage {
        match tail::judge(segment.sequence, &bytes, end, damage, durable) {
            Tail::Clean => {}
            Tail::Torn => {
                torn = Some(Torn {
                    file: segment::name(segment.sequence),
                    offset: end as u64,
                });
            }
            Tail::Damaged(reason) => return Err(corrupt(end as u64, reason)),
        }
    }
    let split = synced.partition_point(|(place, _)| place.offset < durable);
    let unsynced = synced.split_off(split);
    let begin = usize::try_from(durable).unwrap_or(usize::MAX);
    let Some(unsynced_bytes) = bytes.get(begin..end) else {
        let reason = format!("byte {durable} is said to be durable, the segment ends before it");
        return Err(corrupt(end as u64, reason));
    };
    Ok(Last {
        synced,
        unsynced: unsynced.into_iter().map(|(_, record)| record).collect(),
        unsynced_bytes: unsynced_bytes.to_vec(),
        durable,
        end: end as u64,
        torn,
    })
}

struct Scan {
    records: Vec<(Place, Record)>,
    end: usize,
    /// Why it ended before the limit.
    damage: Option<Damage>,
}

/// Reads records until the limit, or one that is none.
fn scan(sequence: u64, bytes: &[u8], limit: u64) -> Scan {
    let mut records = Vec::new();
    let mut at = segment::HEADER;
    let limit_bytes = bytes
        .len()
        .min(usize::try_from(limit).unwrap_or(usize::MAX));
    while at < limit_bytes {
        match Record::read(sequence, at as u64, &bytes[at..limit_bytes]) {
            Ok((record, length)) => {
                let place = Place {
                    segment: sequence,
                    offset: at as u64,
                    length,
                };
                records.push((place, record));
                at += length;
            }
            Err(damage) => {
                return Scan {
                    records,
                    end: at,
                    damage: Some(damage),
                };
            }
        }
    }
    Scan {
        records,
        end: at,
        damage: None,
    }
}

/// How far the segment is known to be durable.
fn durable(header: &Header, records: &[(Place, Record)]) -> u64 {
    let notes = records.iter().filter_map(|(_, record)| match record {
        Record::Durable(offset) => Some(*offset),
        _ => None,
    });
    notes.max().unwrap_or(0).max(header.durable)
}

struct Replay {
    index: Index,
    state: State,
    started: bool,
}

impl Replay {
    fn segment(
        &mut self,
        segment: &Segment,
        records: Vec<(Place, Record)>,
    ) -> Result<Sealed, LogError> {
        let mut highest = None;
        for (place, record) in records {
            if let Record::Entry(entry) = &record {
                highest = highest.max(Some(entry.id.index));
            }
            self.record(place, record)
                .map_err(|reason| LogError::Corrupt {
                    file: segment::name(segment.sequence),
                    offset: place.offset,
                    reason,
                })?;
        }
        Ok(Sealed {
            segment: segment.clone(),
            highest,
        })
    }

    fn record(&mut self, place: Place, record: Record) -> Result<(), String> {
        match record {
            Record::Base(state) if !self.started => {
                if let Some(purged) = state.purged {
                    self.index.purge(purged);
                }
                self.state = state;
                self.started = true;
            }
            // The same as what was read so far.
            Record::Base(_) => {}
            Record::Entry(entry) => {
                let index = entry.id.index;
                let purged = self
                    .state
                    .purged
                    .is_some_and(|purged| index <= purged.index);
                if !purged {
                    // What precedes the first entry may have been in segments that are gone by now.
                    if self.index.first().is_some() && self.index.next() != Some(index) {
                        return Err(format!(
                            "entry {} follows entry {:?}",
                            entry.id,
                            self.index.last()
                        ));
                    }
                    self.index.append(&entry, Some(place));
                }
            }
            Record::Vote(vote) => self.state.vote = Some(vote),
            Record::Truncate(last) => self.index.truncate_after(last),
            Record::Purge(upto) => {
                self.index.purge(upto);
                self.state.purged = Some(upto);
            }
            Record::Committed(id) => self.state.committed = Some(id),
            Record::Durable(_) => {}
        }
        Ok(())
    }

    /// Takes what was never synced for its own sake from the end of the log.
    fn hints(&mut self, records: Vec<Record>) {
        for record in records {
            if let Record::Committed(id) = record {
                self.state.committed = Some(id);
            }
        }
    }

    fn finish(&mut self, first_segment: u64) -> Result<(), LogError> {
        let expected = match (self.state.purged, first_segment) {
            (Some(purged), _) => Some(purged.index + 1),
            (None, 1) => self.index.first().map(|id| id.index),
            (None, _) => None,
        };
        let found = self.index.first().map(|id| id.index);
        let whole = match found {
            Some(found) => expected == Some(found),
            None => expected.is_some() || first_segment == 1,
        };
        if !whole {
            return Err(LogError::Corrupt {
                file: segment::name(first_segment),
                offset: 0,
                reason: format!(
                    "the log begins with entry {found:?} although only entries up to {:?} were purged: \
                     segments before this one are missing",
                    self.state.purged
                ),
            });
        }
        self.state.committed = clamp(self.state.committed, self.index.last());
        Ok(())
    }
}

/// What is committed is never more than what is there.
pub(super) fn clamp(committed: Option<EntryId>, last: Option<EntryId>) -> Option<EntryId> {
    if committed.map(|id| id.index) > last.map(|id| id.index) {
        last
    } else {
        committed
    }
}
