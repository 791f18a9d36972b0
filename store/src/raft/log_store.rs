//! The log on disk, as the consensus library wants to see it.
//!
//! The vote and a lost leader's entries travel through the same queue as everything else, so the order
//! of the library's calls is the order on the disk. A full disk is no error here: the log keeps what
//! does not fit readable in memory, and reports it written when there was room. The library, which
//! stops a member for any storage error, sees a disk that is slow.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use prost::Message;
use tokio::sync::oneshot;

use super::{Entry, LogId, Types, Vote, log_id};
use crate::{
    log::{self, EntryId, Log, LogError, WriteError},
    wire::{PbVote, decode_payload, encode_payload},
};

/// Entries read for one network message at most: later ones go with the next.
const READ_BYTES: usize = 4 << 20;

#[derive(Clone)]
pub(crate) struct LogStore {
    log: Log,
    /// What the library said comes before a log that does not begin at the beginning.
    before_first: Arc<Mutex<Option<LogId>>>,
}

impl LogStore {
    pub(crate) fn new(log: Log) -> Self {
        Self {
            log,
            before_first: Arc::default(),
        }
    }

    fn before_first(&self) -> MutexGuard<'_, Option<LogId>> {
        self.before_first
            .lock()
            .expect("nothing panics while it copies a log id")
    }

    /// Where a read that begins at `start` can begin: the library knows that entries may be purged.
    fn from(&self, start: u64) -> u64 {
        let purged = self.log.purged().map_or(0, |purged| purged.index + 1);
        let first = self.log.first().map_or(0, |first| first.index);
        start.max(purged).max(first)
    }
}

/// An entry's place as the log writes it. The term says who led: there is one leader per term.
fn place(id: &LogId) -> EntryId {
    EntryId {
        index: id.index,
        term: id.leader_id.term,
        leader: 0,
    }
}

/// An entry's place as the library writes it.
fn id(place: EntryId) -> LogId {
    log_id(place.term, place.index)
}

fn failed(error: LogError) -> io::Error {
    match error {
        LogError::Io(error) => error,
        other => io::Error::other(other),
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

/// The entry as the library knows it.
fn decode(entry: log::Entry) -> io::Result<Entry> {
    Ok(Entry {
        log_id: id(entry.id),
        payload: decode_payload(&entry.payload)?,
    })
}

/// Everything in a log from an index on, whether it was ever committed or not.
pub(crate) fn each_from(
    log: &Log,
    mut start: u64,
    mut each: impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<()> {
    let end = log.last().map_or(0, |last| last.index + 1);
    while start < end {
        for entry in log.read(start..end, READ_BYTES).map_err(failed)? {
            start = entry.id.index + 1;
            each(decode(entry)?)?;
        }
    }
    Ok(())
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let start = self.from(start);
        if start >= end {
            return Ok(Vec::new());
        }
        let entries = self.log.read(start..end, usize::MAX).map_err(failed)?;
        entries.into_iter().map(decode).collect()
    }

    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let start = self.from(start);
        // Piece by piece: a member that was away may have to apply more than fits into memory.
        let log = self.log.clone();
        let pieces = stream::unfold(Some(start), move |start| {
            let log = log.clone();
            async move {
                let start = start.filter(|start| *start < end)?;
                let entries = match log.read(start..end, READ_BYTES) {
                    Ok(entries) => entries,
                    Err(error) => return Some((vec![Err(failed(error))], None)),
                };
                let next = entries.last()?.id.index + 1;
                Some((entries.into_iter().map(decode).collect(), Some(next)))
            }
        });
        pieces.map(stream::iter).flatten().boxed()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let start = self.from(start);
        if start >= end {
            return Ok(Vec::new());
        }
        let entries = self.log.read(start..end, READ_BYTES).map_err(failed)?;
        entries.into_iter().map(decode).collect()
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let Some(bytes) = self.log.vote() else {
            return Ok(None);
        };
        let vote = PbVote::decode(bytes).map_err(io::Error::other)?;
        Ok(Some(Vote::from(&vote)))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(id).or(*self.before_first()),
            last_log_id: self.log.last().map(id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (saved, done) = oneshot::channel();
        let bytes = Bytes::from(PbVote::from(vote).encode_to_vec());
        let report = Box::new(move |result| {
            let _ = saved.send(result);
        });
        self.log.save_vote(bytes, report).map_err(failed)?;
        match done.await {
            Ok(result) => result.map_err(io::Error::from),
            Err(_) => Err(WriteError::Closed.into()),
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log
            .save_committed(committed.as_ref().map(place))
            .map_err(failed)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.committed().map(id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries
            .into_iter()
            .map(|entry| log::Entry {
                id: place(&entry.log_id),
                payload: encode_payload(&entry.payload),
            })
            .collect();
        let report = Box::new(move |result| match result {
            Ok(()) => callback.io_completed(Ok(())),
            // What the library itself took back it no longer asks about.
            Err(WriteError::Truncated) => {}
            Err(error) => callback.io_completed(Err(error.into())),
        });
        self.log.append(entries, report).map_err(failed)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        // Nothing waits for it: it is durable before anything that is appended later.
        self.log
            .truncate_after(last_log_id.as_ref().map(place), Box::new(|_| {}))
            .map_err(failed)
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        // Nothing of it is there: only what comes before the first entry is now known.
        if self
            .log
            .first()
            .is_some_and(|first| upto.index < first.index)
        {
            *self.before_first() = Some(upto);
            return Ok(());
        }
        self.log
            .purge(place(&upto), Box::new(|_| {}))
            .map_err(failed)
    }
}
