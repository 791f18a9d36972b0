//! The log against a model, on a disk whose power is cut, that rots, that fills up.

mod basics;
mod crash;
mod full;
mod model;
mod rot;
mod story;
mod thread;

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Done, Entry, EntryId, Log, LogOptions, Mode, WriteError};

/// Segments as small as they can be, so that every test crosses many, and hardly any cache.
fn small(mode: Mode) -> LogOptions {
    LogOptions {
        segment_bytes: 4096,
        cache_bytes: 300,
        mode,
    }
}

fn id(index: u64, term: u64) -> EntryId {
    EntryId {
        index,
        term,
        leader: term % 3,
    }
}

fn entry(index: u64, term: u64, length: usize) -> Entry {
    let mut payload = format!("entry {index} of term {term}, ").into_bytes();
    payload.resize(length.max(payload.len()), b'.');
    Entry {
        id: id(index, term),
        payload: Bytes::from(payload),
    }
}

fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    indexes.map(|index| entry(index, term, 100)).collect()
}

/// Everything in the log.
fn all(log: &Log) -> Vec<Entry> {
    let Some(first) = log.first() else {
        return Vec::new();
    };
    log.read(first.index..u64::MAX, usize::MAX)
        .expect("the log is whole")
}

/// What became of writes, by the number the test gave them.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Report>>>);

type Report = (usize, Result<(), WriteError>);

impl Reports {
    fn done(&self, number: usize) -> Done {
        let reports = self.0.clone();
        Box::new(move |result| {
            reports
                .lock()
                .expect("no test panics here")
                .push((number, result));
        })
    }

    fn of(&self, number: usize) -> Option<Result<(), WriteError>> {
        let reports = self.0.lock().expect("no test panics here");
        let mut found = reports.iter().filter(|(reported, _)| *reported == number);
        let first = found.next().map(|(_, result)| result.clone());
        assert!(found.next().is_none(), "write {number} was reported twice");
        first
    }

    fn is_durable(&self, number: usize) -> bool {
        self.of(number) == Some(Ok(()))
    }
}
