//! The one place that writes.
//!
//! A turn takes all operations that wait, lays their records out behind each other, writes them with
//! one call, syncs once, notes how far the segment is durable now, and reports. Nothing is reported
//! before the sync that covers it.

use std::{collections::VecDeque, io, sync::Arc};

use super::{
    Entry, EntryId, Health, LogOptions, Mode, WriteError,
    index::Place,
    operation::{Done, Finished, Operation},
    record::{Record, State},
    recovery::{Recovery, Sealed},
    segment,
    shared::Shared,
    spare::Spare,
};
use crate::{
    disk::{self, Disk},
    mistake::{Mistake, makes},
};

/// Bytes laid out before they are written, though not synced: bounds the buffer.
const BUFFER: usize = 4 * 1024 * 1024;

/// The next segment is made once one part in so many of the one in use is full: late enough that an
/// idle member keeps one segment, early enough that a busy one does not wait.
const AHEAD: u64 = 8;

/// Into which part of a segment a record may go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Leaves the reserve alone.
    Entry,
    /// May use half of the reserve.
    Control,
    /// May use all of it: it is what frees room.
    Purge,
}

/// A truncation: it began this epoch, and of the entries before it none after this index survived.
struct Cut {
    epoch: u64,
    last: Option<u64>,
}

/// What a turn leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the next turn is due when something arrives.
    Nothing,
    /// Something that time may solve: the disk is full, or the next segment is being made.
    Later,
}

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    shared: Arc<Shared>,
    /// What a segment that begins now would say.
    state: State,
    sealed: VecDeque<Sealed>,
    active: Sealed,
    /// Where the active segment's unwritten part begins.
    end: u64,
    /// What goes there. After a write that met a full disk it stays and is written again, the same bytes to
    /// the same place.
    buffer: Vec<u8>,
    /// The entries in it: index, epoch, place.
    placed: Vec<(u64, u64, Place)>,
    /// The index of the last entry laid out.
    last: Option<u64>,
    /// Whose records are laid out, and not all synced.
    staged: Vec<Done>,
    finished: Vec<Finished>,
    /// Operations that wait for room.
    held: VecDeque<Operation>,
    /// How many truncations are laid out.
    epoch: u64,
    /// Those that passed entries which wait for room.
    cuts: Vec<Cut>,
    spare: Spare,
    purged: bool,
    failed: Option<String>,
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        shared: Arc<Shared>,
        recovery: Recovery,
    ) -> Self {
        let (last, epoch) = {
            let content = shared.lock();
            (content.index.last(), content.index.epoch())
        };
        Self {
            spare: Spare::new(disk.clone(), options.mode == Mode::Thread),
            disk,
            options,
            shared,
            last: last.map(|id| id.index),
            state: recovery.state,
            sealed: recovery.sealed,
            active: recovery.active,
            end: recovery.end,
            buffer: Vec::new(),
            placed: Vec::new(),
            staged: Vec::new(),
            finished: Vec::new(),
            held: VecDeque::new(),
            epoch,
            cuts: Vec::new(),
            purged: false,
            failed: None,
        }
    }

    /// Does everything that waits. What is finished is to be told when no lock is held.
    pub(super) fn turn(&mut self) -> (Vec<Finished>, Rest) {
        let committed = self.shared.take(&mut self.held);
        let mut full = None;
        if self.failed.is_none() {
            match self.work(committed) {
                Ok(refused) => full = refused,
                Err(error) => self.fail(&error),
            }
        }
        let mut rest = Rest::Nothing;
        if let Some(reason) = &self.failed {
            let reason = reason.clone();
            self.refuse_all(&WriteError::Failed { reason });
        } else {
            if full.is_some() || self.spare.is_making() {
                rest = Rest::Later;
            }
            self.report(full);
        }
        (std::mem::take(&mut self.finished), rest)
    }

    /// Gives up what still waits for room.
    pub(super) fn close(&mut self) -> Vec<Finished> {
        self.shared.take(&mut self.held);
        self.refuse_all(&WriteError::Closed);
        self.spare.discard();
        std::mem::take(&mut self.finished)
    }

    /// Returns the error of a full disk, if it met one; any other error is the end of this writer.
    fn work(&mut self, committed: Option<EntryId>) -> io::Result<Option<io::Error>> {
        let mut full = passing(self.write_out())?;
        if full.is_some() {
            return Ok(full);
        }
        let mut cut_waits = false;
        for operation in std::mem::take(&mut self.held) {
            let is_cut = operation.is_cut();
            let must_wait = match operation {
                Operation::Append { .. } => full.is_some(),
                Operation::Control { .. } => cut_waits && is_cut,
            };
            if must_wait {
                self.held.push_back(operation);
                continue;
            }
            let refused = match operation {
                Operation::Append {
                    entries,
                    epoch,
                    done,
                } => self.append(entries, epoch, done),
                Operation::Control { records, done } => self.control(records, done),
            };
            let refused = passing(refused)?;
            cut_waits |= is_cut && refused.is_some();
            full = full.or(refused);
        }
        if self.held.is_empty() {
            self.cuts.clear();
        }
        self.hint(committed);
        full = full.or(passing(self.commit())?);
        if self.purged && self.staged.is_empty() {
            self.purged = false;
            self.drop_purged();
        }
        if full.is_none() && self.end > self.active.segment.size / AHEAD {
            let size = self.options.size_for(segment::needed(&self.state, &[]));
            full = self.spare.prepare(size).err();
        }
        Ok(full)
    }

    fn append(&mut self, mut entries: VecDeque<Entry>, epoch: u64, done: Done) -> io::Result<()> {
        while let Some(entry) = entries.pop_front() {
            let index = entry.id.index;
            let is_void = |cut: &Cut| cut.epoch > epoch && Some(index) > cut.last;
            if self.cuts.iter().any(is_void) {
                let refused = Finished::new(done, Err(WriteError::Truncated));
                self.finished.push(refused);
                return Ok(());
            }
            let record = Record::Entry(entry);
            match self.lay(&record, Class::Entry) {
                Ok(place) => {
                    self.placed.push((index, epoch, place));
                    self.active.highest = self.active.highest.max(Some(index));
                    self.last = self.last.max(Some(index));
                }
                Err(error) => {
                    if let Record::Entry(entry) = record {
                        entries.push_front(entry);
                    }
                    self.held.push_back(Operation::Append {
                        entries,
                        epoch,
                        done,
                    });
                    return Err(error);
                }
            }
        }
        self.staged.push(done);
        Ok(())
    }

    fn control(&mut self, mut records: Vec<Record>, done: Done) -> io::Result<()> {
        for position in 0..records.len() {
            let record = &records[position];
            let class = match record {
                Record::Purge(_) | Record::Truncate(_) => Class::Purge,
                _ => Class::Control,
            };
            if let Err(error) = self.lay(record, class) {
                records.drain(..position);
                self.held.push_back(Operation::Control { records, done });
                return Err(error);
            }
            self.note(&records[position]);
        }
        self.staged.push(done);
        Ok(())
    }

    fn note(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.state.vote = Some(vote.clone()),
            Record::Purge(upto) => {
                self.purged = true;
                self.state.purged = Some(*upto);
                self.last = self.last.max(Some(upto.index));
            }
            Record::Truncate(last) => {
                let last = last.map(|id| id.index);
                let purged = self.state.purged.map(|id| id.index);
                self.last = self.last.min(last).max(purged);
                self.epoch += 1;
                self.cuts.push(Cut {
                    epoch: self.epoch,
                    last,
                });
            }
            _ => {}
        }
    }

    /// Adds the newest commit point, when it is about entries that are laid out and there is room. It is
    /// worth no sync and no new segment.
    fn hint(&mut self, committed: Option<EntryId>) {
        let Some(id) = committed else { return };
        let record = Record::Committed(id);
        if self.state.committed != committed
            && Some(id.index) <= self.last
            && self.fits(&record, Class::Entry)
        {
            self.put(&record);
            self.state.committed = committed;
        }
    }

    /// Lays a record out, in a new segment when this one is full.
    fn lay(&mut self, record: &Record, class: Class) -> io::Result<Place> {
        if self.buffer.len() >= BUFFER {
            self.write_out()?;
        }
        if !self.fits(record, class) {
            self.roll(record)?;
        }
        Ok(self.put(record))
    }

    fn fits(&self, record: &Record, class: Class) -> bool {
        let reserve = self.options.reserve();
        let kept = match class {
            Class::Entry => reserve,
            Class::Control => reserve / 2,
            Class::Purge => 0,
        };
        let used = self.end + (self.buffer.len() + record.length()) as u64;
        used + kept <= self.active.segment.size
    }

    fn put(&mut self, record: &Record) -> Place {
        let segment = self.active.segment.sequence;
        let offset = self.end + self.buffer.len() as u64;
        record.write(segment, offset, &mut self.buffer);
        Place {
            segment,
            offset,
            length: record.length(),
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.active.segment.file.write_at(self.end, &self.buffer)?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        if self.buffer.capacity() > 2 * BUFFER {
            self.buffer.shrink_to(BUFFER);
        }
        self.shared.place(self.placed.drain(..));
        Ok(())
    }

    /// Makes what is laid out durable.
    fn commit(&mut self) -> io::Result<()> {
        self.write_out()?;
        if self.staged.is_empty() {
            return Ok(());
        }
        if self.puts_off_sync() {
            self.acknowledge();
            return Ok(());
        }
        self.sync()?;
        let note = Record::Durable(self.end);
        if self.fits(&note, Class::Control) {
            self.put(&note);
            self.write_out()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.active.segment.file.sync_data().map_err(fatal)?;
        self.acknowledge();
        Ok(())
    }

    fn acknowledge(&mut self) {
        self.shared.lock().syncs += 1;
        let staged = self.staged.drain(..);
        self.finished
            .extend(staged.map(|done| Finished::new(done, Ok(()))));
    }

    /// Only as a mistake that a test plants.
    fn puts_off_sync(&self) -> bool {
        makes(Mistake::SyncPutOff) && !self.shared.lock().syncs.is_multiple_of(64)
    }

    /// Begins the next segment, which can take `record`.
    fn roll(&mut self, record: &Record) -> io::Result<()> {
        let needed = segment::needed(&self.state, &[]) + record.length() as u64;
        let scratch = self.spare.take(self.options.size_for(needed))?;
        self.write_out()?;
        // Once the next segment has its name, all of this one counts as durable.
        self.sync()?;
        let sequence = self.active.segment.sequence + 1;
        let (segment, end, _) =
            segment::publish(&*self.disk, scratch, sequence, self.end, &self.state, &[])
                .map_err(fatal)?;
        self.shared
            .lock()
            .segments
            .insert(sequence, segment.clone());
        let fresh = Sealed {
            segment,
            highest: None,
        };
        self.sealed
            .push_back(std::mem::replace(&mut self.active, fresh));
        self.end = end;
        Ok(())
    }

    /// Removes the segments that hold nothing but purged entries. The purge is durable by now.
    fn drop_purged(&mut self) {
        let purged = self.state.purged.map(|id| id.index);
        while let Some(oldest) = self.sealed.front()
            && oldest.highest <= purged
        {
            let sequence = oldest.segment.sequence;
            if let Err(error) = self.disk.remove(&segment::name(sequence)) {
                // Nothing depends on it; the next purge tries again.
                tracing::warn!(%error, "cannot remove a purged segment of the log");
                return;
            }
            self.shared.lock().segments.remove(&sequence);
            self.sealed.pop_front();
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let reason = error.to_string();
        tracing::error!(%reason, "the log stops, its disk failed");
        self.shared.lock().health = Health::Failed(reason.clone());
        self.failed = Some(reason);
    }

    fn refuse_all(&mut self, error: &WriteError) {
        let held = self.held.drain(..).map(Operation::into_done);
        let refused = self.staged.drain(..).chain(held);
        self.finished
            .extend(refused.map(|done| Finished::new(done, Err(error.clone()))));
    }

    fn report(&self, full: Option<io::Error>) {
        let health = full.map_or(Health::Good, |error| Health::Full(error.to_string()));
        let mut content = self.shared.lock();
        if content.health != health {
            match &health {
                Health::Full(reason) => tracing::warn!(%reason, "the log's disk is full"),
                _ => tracing::info!("the log's disk has room again"),
            }
            content.health = health;
        }
    }
}

/// Lets the error of a full disk pass as a value: it goes away by itself.
fn passing(result: io::Result<()>) -> io::Result<Option<io::Error>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if disk::is_full(&error) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// After these calls nothing is certain any more, whatever the error says.
fn fatal(error: io::Error) -> io::Error {
    io::Error::other(error)
}
