use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

use bytes::Bytes;

use crate::{disk, log};

/// What is asked of an engine here. It panics where an engine fails.
pub trait Engine: Send + Sync {
    /// Appends one entry and returns when it is durable.
    fn commit(&self, writer: u64, payload: &[u8]);
    /// Appends entries, by the thousand, durably.
    fn fill(&self, count: u64, payload: &[u8]);
    /// How many entries there are.
    fn count(&self) -> u64;
    /// The payload of one of writer 0's entries; an error says that it is damaged.
    fn read(&self, index: u64) -> Result<Option<Vec<u8>>, String>;
}

type Open = fn(&Path) -> Arc<dyn Engine>;

pub fn all() -> [(&'static str, Open); 5] {
    [
        ("ours", Ours::open),
        ("raft-log", RaftLog::open),
        ("raft-engine", RaftEngine::open),
        ("fjall", Fjall::open),
        ("redb", Redb::open),
    ]
}

struct Ours {
    log: log::Log,
    order: Mutex<u64>,
}

impl Ours {
    fn open(directory: &Path) -> Arc<dyn Engine> {
        let disk = Arc::new(disk::RealDisk::open(directory).expect("opens"));
        let (log, found) = log::Log::open(disk, log::LogOptions::default()).expect("opens");
        let next = found.last.map_or(0, |id| id.index + 1);
        Arc::new(Self {
            log,
            order: Mutex::new(next),
        })
    }

    fn append(&self, count: u64, payload: &[u8]) {
        let (sender, receiver) = sync_channel(1);
        {
            let mut next = self.order.lock().expect("no writer panics");
            let entries = (*next..*next + count)
                .map(|index| log::Entry {
                    id: log::EntryId {
                        index,
                        term: 1,
                        leader: 1,
                    },
                    payload: Bytes::copy_from_slice(payload),
                })
                .collect();
            *next += count;
            let done = Box::new(move |result| sender.send(result).expect("is waited for"));
            self.log.append(entries, done).expect("accepted");
        }
        receiver.recv().expect("is reported").expect("is durable");
    }
}

impl Engine for Ours {
    fn commit(&self, _: u64, payload: &[u8]) {
        self.append(1, payload);
    }

    fn fill(&self, count: u64, payload: &[u8]) {
        for _ in 0..count / 1000 {
            self.append(1000, payload);
        }
    }

    fn count(&self) -> u64 {
        self.log.stats().entries as u64
    }

    fn read(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        let read = self.log.read(index..index + 1, 0);
        let found = read.map_err(|error| error.to_string())?;
        Ok(found.first().map(|entry| entry.payload.to_vec()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Plain;

impl raft_log::Types for Plain {
    type LogId = (u64, u64);
    type LogPayload = Vec<u8>;
    type Vote = (u64, u64);
    type Callback = SyncSender<io::Result<()>>;
    type UserData = String;

    fn log_index(log_id: &Self::LogId) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

struct RaftLog(Mutex<(raft_log::RaftLog<Plain>, u64)>);

impl RaftLog {
    fn open(directory: &Path) -> Arc<dyn Engine> {
        let directory = directory.to_str().expect("UTF-8");
        let config = Arc::new(raft_log::Config::new(directory));
        let log = raft_log::RaftLog::<Plain>::open(config).expect("opens");
        let next = log.log_state().last().map_or(0, |id| id.1 + 1);
        Arc::new(Self(Mutex::new((log, next))))
    }

    fn append(&self, count: u64, payload: &[u8]) {
        use raft_log::api::raft_log_writer::RaftLogWriter;
        let (sender, receiver) = sync_channel(1);
        {
            let mut guard = self.0.lock().expect("no writer panics");
            let (log, next) = &mut *guard;
            let entries = (*next..*next + count).map(|index| ((1, index), payload.to_vec()));
            log.append(entries).expect("accepted");
            *next += count;
            log.flush(true, Some(sender)).expect("accepted");
        }
        receiver.recv().expect("is reported").expect("is durable");
    }
}

impl Engine for RaftLog {
    fn commit(&self, _: u64, payload: &[u8]) {
        self.append(1, payload);
    }

    fn fill(&self, count: u64, payload: &[u8]) {
        for _ in 0..count / 1000 {
            self.append(1000, payload);
        }
    }

    fn count(&self) -> u64 {
        self.0.lock().expect("no writer panics").1
    }

    fn read(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        let guard = self.0.lock().expect("no writer panics");
        let found = guard.0.read(index, index + 1).next();
        let found = found.transpose().map_err(|error| error.to_string())?;
        Ok(found.map(|(_, payload)| payload))
    }
}

/// An entry is a protobuf message whose first eight bytes are its index.
#[derive(Clone)]
struct Prefixed;

impl raft_engine::MessageExt for Prefixed {
    type Entry = protobuf::well_known_types::BytesValue;

    fn index(entry: &Self::Entry) -> u64 {
        let first = entry.value.first_chunk().expect("begins with its index");
        u64::from_le_bytes(*first)
    }
}

/// A log per writer: entries of one log must come in order, and the engine groups writes of different logs.
struct RaftEngine {
    engine: raft_engine::Engine,
    next: Vec<AtomicU64>,
}

impl RaftEngine {
    fn open(directory: &Path) -> Arc<dyn Engine> {
        let config = raft_engine::Config {
            dir: directory.to_str().expect("UTF-8").to_owned(),
            // No other engine compresses.
            batch_compression_threshold: raft_engine::ReadableSize(0),
            ..raft_engine::Config::default()
        };
        let engine = raft_engine::Engine::open(config).expect("opens");
        let next = (0..64).map(|log| {
            let last = engine.last_index(log + 1);
            AtomicU64::new(last.map_or(0, |last| last + 1))
        });
        Arc::new(Self {
            next: next.collect(),
            engine,
        })
    }

    fn append(&self, writer: u64, count: u64, payload: &[u8]) {
        let first = self.next[writer as usize].fetch_add(count, Ordering::Relaxed);
        let entries: Vec<_> = (first..first + count)
            .map(|index| {
                let mut entry = protobuf::well_known_types::BytesValue::default();
                entry.value = [&index.to_le_bytes(), payload].concat();
                entry
            })
            .collect();
        let mut batch = raft_engine::LogBatch::default();
        batch
            .add_entries::<Prefixed>(writer + 1, &entries)
            .expect("fits");
        self.engine.write(&mut batch, true).expect("is durable");
    }
}

impl Engine for RaftEngine {
    fn commit(&self, writer: u64, payload: &[u8]) {
        self.append(writer, 1, payload);
    }

    fn fill(&self, count: u64, payload: &[u8]) {
        for _ in 0..count / 1000 {
            self.append(0, 1000, payload);
        }
    }

    fn count(&self) -> u64 {
        self.next[0].load(Ordering::Relaxed)
    }

    fn read(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        let found = self.engine.get_entry::<Prefixed>(1, index);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|entry| entry.value[8..].to_vec()))
    }
}

struct Fjall {
    database: fjall::Database,
    log: fjall::Keyspace,
    next: AtomicU64,
}

impl Fjall {
    fn open(directory: &Path) -> Arc<dyn Engine> {
        let database = fjall::Database::builder(directory).open().expect("opens");
        let log = database
            .keyspace("log", fjall::KeyspaceCreateOptions::default)
            .expect("opens");
        let next = AtomicU64::new(log.len().expect("reads") as u64);
        Arc::new(Self {
            database,
            log,
            next,
        })
    }

    fn append(&self, count: u64, payload: &[u8]) {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        for index in first..first + count {
            self.log
                .insert(index.to_be_bytes(), payload)
                .expect("accepted");
        }
        self.database
            .persist(fjall::PersistMode::SyncData)
            .expect("is durable");
    }
}

impl Engine for Fjall {
    fn commit(&self, _: u64, payload: &[u8]) {
        self.append(1, payload);
    }

    fn fill(&self, count: u64, payload: &[u8]) {
        for _ in 0..count / 1000 {
            self.append(1000, payload);
        }
    }

    fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    fn read(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        let found = self.log.get(index.to_be_bytes());
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|payload| payload.to_vec()))
    }
}

struct Redb {
    database: redb::Database,
    next: AtomicU64,
}

const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("log");

impl Redb {
    fn open(directory: &Path) -> Arc<dyn Engine> {
        use redb::{ReadableDatabase, ReadableTableMetadata};
        let database = redb::Database::create(directory.join("log.redb")).expect("opens");
        let write = database.begin_write().expect("begins");
        write.open_table(TABLE).expect("opens");
        write.commit().expect("is durable");
        let read = database.begin_read().expect("begins");
        let count = read.open_table(TABLE).and_then(|table| Ok(table.len()?));
        Arc::new(Self {
            next: AtomicU64::new(count.expect("reads")),
            database,
        })
    }

    fn append(&self, count: u64, payload: &[u8]) {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let write = self.database.begin_write().expect("begins");
        {
            let mut table = write.open_table(TABLE).expect("opens");
            for index in first..first + count {
                table.insert(index, payload).expect("accepted");
            }
        }
        write.commit().expect("is durable");
    }
}

impl Engine for Redb {
    fn commit(&self, _: u64, payload: &[u8]) {
        self.append(1, payload);
    }

    fn fill(&self, count: u64, payload: &[u8]) {
        for _ in 0..count / 1000 {
            self.append(1000, payload);
        }
    }

    fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    fn read(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        use redb::ReadableDatabase;
        let read = self
            .database
            .begin_read()
            .map_err(|error| error.to_string())?;
        let table = read.open_table(TABLE).map_err(|error| error.to_string())?;
        let found = table.get(index).map_err(|error| error.to_string())?;
        Ok(found.map(|payload| payload.value().to_vec()))
    }
}
