//! The Raft log on disk: entries, the vote, how far the log is purged and committed.
//!
//! The log knows entries by index, term and leader, and nothing of what they say or of the consensus
//! library. It exists because no kept crate runs on a simulated disk, flushes without blocking its caller,
//! and tells a torn tail from damage; see `docs/adr/0003-log-engine.md`.
//!
//! # Shape
//!
//! One sequence of records (`record`) in a row of segment files (`segment`). Everything is a
//! record, the vote as well as entries, so one sync covers everything before it and the order of calls
//! is the order on disk. Nothing is changed in place: a truncation is a record that voids entries
//! before it, a purge is a record after which whole segments may be removed.
//!
//! # What holds
//!
//! 1. A write is reported durable only after a sync that began after all its bytes were written.
//! 2. What is read back after any crash is what a prefix of the records says, and the prefix contains
//!    every record that was reported durable. So a vote never survives without the votes and entries
//!    written before it, entries have no gap, and a truncation whose successors survive has survived.
//!    (One exception is harmless: on a full disk votes, truncations and purges pass entries that wait
//!    for room. Those were never reported, and they are written afterwards only if they are still part
//!    of the log.)
//! 3. A segment has its name only when everything in the one before is durable, and its own beginning
//!    too. Each segment begins with the vote, the purge and the commit point, so that those before it
//!    may go.
//! 4. Between filling and removal every byte of a segment is written at most once, or again with the
//!    same value. So a record is either as written, or lacks whole sectors, or is damaged; `tail`
//!    tells which. What lacks sectors and was never reported is cut and shown in [`Recovered::torn`].
//!    Everything else that is wrong is [`LogError::Corrupt`]: the member stops, nothing is cut.
//! 5. Records that may be unsynced after a crash are written anew, elsewhere, before they count
//!    (`recovery`): a sync that failed is never believed later because the kernel still shows the
//!    bytes.
//! 6. A failed sync, or a write that failed for any reason but a full disk, ends the log: every write
//!    that waits or comes is refused until the log is opened, and thereby read, again.
//! 7. A full disk is no failure. Writes that do not fit wait, stay readable, and are written when there
//!    is room; [`Health::Full`] says so most of a segment *before* the first one has to wait. Votes and
//!    purges have a reserve in each segment.
//! 8. A segment is removed only after the purge that covers all its entries is durable.

mod entry;
mod error;
mod index;
mod operation;
mod options;
mod record;
mod recovery;
mod segment;
mod shared;
mod spare;
mod status;
mod tail;
#[cfg(test)]
mod tests;
mod window;
mod writer;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;

pub use entry::{Entry, EntryId};
pub use error::{LogError, WriteError};
pub use operation::Done;
pub use options::{LogOptions, Mode};
pub use status::{Health, LogStats, Recovered, Torn};

use crate::disk::Disk;
use index::Located;
use operation::{Finished, Operation};
use record::Record;
use shared::{Content, Shared};
use window::Window;
use writer::{Rest, Writer};

/// How often writes that wait for room are tried again.
const RETRY: Duration = Duration::from_millis(250);

/// A log, open for one process. Clones are the same log; it is closed when the last one goes.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    mode: Mode,
    /// None while the log's own thread has it, and after the log is closed.
    writer: Mutex<Option<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log in this directory; an empty one is made when there is none.
    ///
    /// Reads all of it, and returns only when everything that it reports is durable. Other files in the
    /// directory are left alone, as long as their names do not begin with `log-`.
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(Self, Recovered), LogError> {
        let (index, recovery) = recovery::recover(&*disk, &options)?;
        let content = Content::new(index, &recovery);
        let recovered = Recovered {
            vote: content.vote.clone(),
            committed: content.committed,
            purged: content.index.purged(),
            first: content.index.first(),
            last: content.index.last(),
            torn: recovery.torn.clone(),
        };
        let mode = options.mode;
        let shared = Arc::new(Shared::new(content));
        let writer = Writer::new(disk, options, shared.clone(), recovery);
        let mut inner = Inner {
            shared: shared.clone(),
            mode,
            writer: Mutex::new(None),
            thread: Mutex::new(None),
        };
        if mode == Mode::Thread {
            let thread = thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || run(&shared, writer))?;
            inner.thread = Mutex::new(Some(thread));
        } else {
            inner.writer = Mutex::new(Some(writer));
        }
        Ok((Self(Arc::new(inner)), recovered))
    }

    /// Appends entries, which must continue the log; an empty log that was never purged takes any first
    /// index.
    ///
    /// They can be read at once. `done` is called when they, and everything before, are durable.
    pub fn append(&self, entries: Vec<Entry>, done: Done) -> Result<(), LogError> {
        let mut content = self.writable()?;
        let mut next = content.index.next();
        for entry in &entries {
            let found = entry.id.index;
            match next {
                Some(expected) if expected != found => {
                    return Err(LogError::Gap { found, expected });
                }
                _ => next = Some(found + 1),
            }
        }
        for entry in &entries {
            content.index.append(entry, None);
        }
        let epoch = content.index.epoch();
        content.queue.push_back(Operation::Append {
            entries: VecDeque::from(entries),
            epoch,
            done,
        });
        self.submitted(content);
        Ok(())
    }

    /// Replaces the vote. `done` is called when it is durable.
    pub fn save_vote(&self, vote: Bytes, done: Done) -> Result<(), LogError> {
        let mut content = self.writable()?;
        content.vote = Some(vote.clone());
        content.queue.push_back(Operation::Control {
            records: vec![Record::Vote(vote)],
            done,
        });
        self.submitted(content);
        Ok(())
    }

    /// Notes that entries up to this one are committed. It reaches the disk with what is written next,
    /// or at once, but is never synced for its own sake: after a power cut an older one may be found.
    pub fn save_committed(&self, id: Option<EntryId>) -> Result<(), LogError> {
        let mut content = self.writable()?;
        if content.committed != id {
            content.committed = id;
            content.hint = true;
            self.submitted(content);
        }
        Ok(())
    }

    /// Removes all entries after `last`; all of them when it is none. `done` is called when that is
    /// durable.
    pub fn truncate_after(&self, last: Option<EntryId>, done: Done) -> Result<(), LogError> {
        let mut content = self.writable()?;
        if let Some(last) = last {
            let beyond = content.index.next().is_none_or(|next| last.index >= next);
            if !beyond && content.index.id_at(last.index) != Some(last) {
                return Err(absent(last.index, &content));
            }
        }
        content.index.truncate_after(last);
        content.committed = recovery::clamp(content.committed, content.index.last());
        content.queue.push_back(Operation::Control {
            records: vec![Record::Truncate(last)],
            done,
        });
        self.submitted(content);
        Ok(())
    }

    /// Removes all entries up to `upto`, and every other one too unless `upto` is an entry of this log:
    /// the log then continues after it. `done` is called when that is durable; the files are removed
    /// afterwards.
    pub fn purge(&self, upto: EntryId, done: Done) -> Result<(), LogError> {
        let mut content = self.writable()?;
        let mut records = Vec::new();
        if content.index.purged().map(|id| id.index) < Some(upto.index) {
            let first = content.index.first().map(|id| id.index);
            if first.is_some_and(|first| upto.index < first) {
                return Err(absent(upto.index, &content));
            }
            if content.index.id_at(upto.index) != Some(upto) {
                content.index.truncate_after(None);
                records.push(Record::Truncate(None));
            }
            content.index.purge(upto);
            records.push(Record::Purge(upto));
        }
        content
            .queue
            .push_back(Operation::Control { records, done });
        self.submitted(content);
        Ok(())
    }

    /// The entries of `range`, from its start, until the range or the log ends or they have more than
    /// `max_bytes`; at least one if there is one. An error when the start was purged.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let (located, segments) = {
            let content = self.0.shared.lock();
            let purged = content.index.purged().map(|id| id.index);
            if !range.is_empty() && purged >= Some(range.start) {
                return Err(absent(range.start, &content));
            }
            let located = content.index.locate(range, max_bytes);
            let on_disk = located
                .iter()
                .any(|entry| matches!(entry, Located::OnDisk(..)));
            // Handles go on working when a purge removes their files.
            let segments = on_disk.then(|| content.segments.clone());
            (located, segments.unwrap_or_default())
        };
        let last_on_disk = located.iter().rev().find_map(|entry| match entry {
            Located::OnDisk(_, place) => Some(*place),
            Located::Cached(_) => None,
        });
        let mut window = Window::new(&segments);
        located
            .into_iter()
            .map(|entry| match entry {
                Located::Cached(entry) => Ok(entry),
                Located::OnDisk(id, place) => {
                    let until = last_on_disk
                        .filter(|last| last.segment == place.segment)
                        .map(|last| last.offset + last.length as u64);
                    window.entry(id, place, until)
                }
            })
            .collect()
    }

    /// The id of the entry at this index, or of the last purged one.
    pub fn id_at(&self, index: u64) -> Option<EntryId> {
        self.0.shared.lock().index.id_at(index)
    }

    /// The first entry.
    pub fn first(&self) -> Option<EntryId> {
        self.0.shared.lock().index.first()
    }

    /// The last entry, or the last purged one when there is none.
    pub fn last(&self) -> Option<EntryId> {
        self.0.shared.lock().index.last()
    }

    /// The last purged entry.
    pub fn purged(&self) -> Option<EntryId> {
        self.0.shared.lock().index.purged()
    }

    /// The newest vote, durable or not.
    pub fn vote(&self) -> Option<Bytes> {
        self.0.shared.lock().vote.clone()
    }

    /// The newest commit point, durable or not.
    pub fn committed(&self) -> Option<EntryId> {
        self.0.shared.lock().committed
    }

    /// Whether it can be written to. Cheap: ask before every proposal.
    pub fn health(&self) -> Health {
        self.0.shared.lock().health.clone()
    }

    /// Figures.
    pub fn stats(&self) -> LogStats {
        let content = self.0.shared.lock();
        LogStats {
            entries: content.index.count(),
            cached_bytes: content.index.cached_bytes(),
            segments: content.segments.len(),
            disk_bytes: content.segments.values().map(|segment| segment.size).sum(),
            syncs: content.syncs,
        }
    }

    /// Does what waits, unless the log has a thread that does. In [`Mode::Stepped`] nothing happens
    /// without it; in both modes without a thread it is what tries again after a full disk.
    pub fn turn(&self) {
        let mut writer = self.writer();
        let finished = writer.as_mut().map(Writer::turn);
        drop(writer);
        for finished in finished.map(|(finished, _)| finished).unwrap_or_default() {
            finished.tell();
        }
    }

    /// Writes what waits, refuses what cannot be written, and lets go of the disk. Idempotent; blocks.
    pub fn close(&self) {
        self.0.close();
    }

    /// The content, if writes are accepted.
    fn writable(&self) -> Result<MutexGuard<'_, Content>, LogError> {
        let content = self.0.shared.lock();
        match &content.health {
            Health::Failed(reason) => Err(LogError::Failed {
                reason: reason.clone(),
            }),
            _ if content.closing => Err(LogError::Closed),
            _ => Ok(content),
        }
    }

    fn submitted(&self, content: MutexGuard<'_, Content>) {
        drop(content);
        match self.0.mode {
            Mode::Thread => self.0.shared.wake(),
            Mode::Inline => self.turn(),
            Mode::Stepped => {}
        }
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.wake();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the log's thread panicked");
        }
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            finish(writer);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// The life of the log's own thread.
fn run(shared: &Shared, mut writer: Writer) {
    let mut retry = None;
    while shared.wait(retry) {
        let (finished, rest) = writer.turn();
        finished.into_iter().for_each(Finished::tell);
        retry = (rest == Rest::Later).then_some(RETRY);
    }
    finish(writer);
}

/// The last turn of a writer.
fn finish(mut writer: Writer) {
    let (finished, _) = writer.turn();
    let refused = writer.close();
    drop(writer);
    finished.into_iter().chain(refused).for_each(Finished::tell);
}

fn absent(index: u64, content: &Content) -> LogError {
    LogError::Absent {
        index,
        first: content.index.first().map_or(0, |id| id.index),
        last: content.index.last().map_or(0, |id| id.index),
    }
}
