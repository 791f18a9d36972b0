use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{Blocks, Loader, reader::SnapshotError};
use crate::{
    disk::{Disk, File},
    raft::SnapshotMeta,
    state::State,
};

const PREFIX: &str = "snapshot-";
const SCRATCH: &str = "incoming-";
const DAMAGED: &str = "damaged-";
/// The newest one, and the one before it in case the newest rots: the log reaches back to that one.
const KEPT: usize = 2;
const CHUNK: usize = 1 << 20;

/// A member's snapshot files.
///
/// A file gets its name only when it is whole and on the disk, so a crash leaves the old one or the new
/// one. What is found damaged is set aside under another name, never deleted.
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    current: Mutex<Option<(SnapshotMeta, String)>>,
    scratch: AtomicU64,
}

/// A snapshot's bytes, and where they come from.
pub(crate) struct SnapshotData {
    file: Arc<dyn File>,
    length: u64,
    /// It was received from a leader into this scratch file, and read on the way.
    received: Option<(String, Box<State>)>,
}

fn name(meta: &SnapshotMeta) -> String {
    let (index, term) = meta
        .last_log_id
        .map_or((0, 0), |id| (id.index, id.leader_id.term));
    format!("{PREFIX}{index:020}-{term:020}")
}

fn index_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

impl Snapshots {
    /// Finds the newest snapshot that is whole, and loads it.
    pub(crate) fn recover(
        disk: Arc<dyn Disk>,
    ) -> io::Result<(Self, Option<(SnapshotMeta, State)>)> {
        let mut names = Vec::new();
        for name in disk.list()? {
            if name.starts_with(SCRATCH) {
                disk.remove(&name)?;
            } else if name.starts_with(PREFIX) {
                names.push(name);
            }
        }
        names.sort();
        let snapshots = Self {
            disk,
            current: Mutex::new(None),
            scratch: AtomicU64::new(0),
        };
        while let Some(name) = names.pop() {
            let file = snapshots.disk.open(&name)?;
            match load(&*file) {
                Ok((meta, state)) => {
                    *snapshots.lock() = Some((meta.clone(), name));
                    return Ok((snapshots, Some((meta, state))));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(
                        snapshot = name,
                        %error,
                        "a snapshot is damaged; it is set aside and an older one is tried"
                    );
                    snapshots.disk.rename(&name, &format!("{DAMAGED}{name}"))?;
                    snapshots.disk.sync_dir()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((snapshots, None))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(SnapshotMeta, String)>> {
        self.current
            .lock()
            .expect("nothing panics while it looks at the current snapshot")
    }

    /// The newest snapshot.
    pub(crate) fn current(&self) -> io::Result<Option<(SnapshotMeta, SnapshotData)>> {
        // Under the lock, so that the file is not removed between the look and the opening.
        let current = self.lock();
        let Some((meta, name)) = &*current else {
            return Ok(None);
        };
        let data = self.data(name)?;
        Ok(Some((meta.clone(), data)))
    }

    fn data(&self, name: &str) -> io::Result<SnapshotData> {
        let file = self.disk.open(name)?;
        let length = file.length()?;
        Ok(SnapshotData {
            file,
            length,
            received: None,
        })
    }

    /// The log may be dropped up to here: the index of the oldest snapshot that is kept.
    pub(crate) fn oldest_index(&self) -> io::Result<Option<u64>> {
        let indexes = self.disk.list()?.into_iter().filter_map(|n| index_of(&n));
        Ok(indexes.min())
    }

    /// Writes the snapshot that `blocks` make.
    pub(crate) fn build(&self, blocks: Blocks) -> io::Result<(SnapshotMeta, SnapshotData)> {
        let meta = blocks.meta().clone();
        let (scratch, file) = self.create()?;
        let mut offset = 0;
        for block in blocks {
            let written = file.write_at(offset, &block);
            if let Err(error) = written {
                // Give back the room; the first error is the one worth reporting.
                let _ = self.disk.remove(&scratch);
                return Err(error);
            }
            offset += block.len() as u64;
        }
        let name = self.publish(&meta, &scratch, &*file)?;
        Ok((meta, self.data(&name)?))
    }

    fn create(&self) -> io::Result<(String, Arc<dyn File>)> {
        let number = self.scratch.fetch_add(1, Ordering::Relaxed);
        let scratch = format!("{SCRATCH}{number}");
        let file = self.disk.create(&scratch)?;
        Ok((scratch, file))
    }

    /// Makes a whole scratch file the current snapshot, and removes those that nobody needs.
    fn publish(&self, meta: &SnapshotMeta, scratch: &str, file: &dyn File) -> io::Result<String> {
        file.sync_data()?;
        let name = name(meta);
        let mut current = self.lock();
        self.disk.rename(scratch, &name)?;
        self.disk.sync_dir()?;
        let newer = current
            .as_ref()
            .is_none_or(|(held, _)| held.last_log_id <= meta.last_log_id);
        if newer {
            *current = Some((meta.clone(), name.clone()));
        }
        let mut kept: Vec<String> = self
            .disk
            .list()?
            .into_iter()
            .filter(|n| n.starts_with(PREFIX))
            .collect();
        kept.sort();
        for old in kept.iter().rev().skip(KEPT) {
            self.disk.remove(old)?;
        }
        Ok(name)
    }

    /// Begins to receive a snapshot.
    pub(crate) fn receive(self: &Arc<Self>) -> io::Result<Receiving> {
        let (scratch, file) = self.create()?;
        Ok(Receiving {
            snapshots: self.clone(),
            scratch: Some(scratch),
            file,
            offset: 0,
            loader: Loader::new(),
        })
    }

    /// Makes a received snapshot the current one; the state that it holds.
    pub(crate) fn install(&self, meta: &SnapshotMeta, data: SnapshotData) -> io::Result<State> {
        if let Some((scratch, state)) = data.received {
            self.publish(meta, &scratch, &*data.file)?;
            return Ok(*state);
        }
        let (_, state) = load(&*data.file)?;
        let (scratch, file) = self.create()?;
        let mut offset = 0;
        while let Some(chunk) = data.chunk(offset)? {
            file.write_at(offset, &chunk)?;
            offset += chunk.len() as u64;
        }
        self.publish(meta, &scratch, &*file)?;
        Ok(state)
    }
}

fn load(file: &dyn File) -> io::Result<(SnapshotMeta, State)> {
    let mut loader = Loader::new();
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = file.read_at(offset, &mut buffer)?;
        if read == 0 {
            return Ok(loader.finish()?);
        }
        loader.push(&buffer[..read])?;
        offset += read as u64;
    }
}

impl SnapshotData {
    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `offset`, some of them; none at the end.
    pub(crate) fn chunk(&self, offset: u64) -> io::Result<Option<Bytes>> {
        let rest = self.length.saturating_sub(offset);
        if rest == 0 {
            return Ok(None);
        }
        let wanted = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = vec![0; wanted];
        let read = self.file.read_at(offset, &mut buffer)?;
        if read == 0 {
            return Err(SnapshotError::Torn { offset }.into());
        }
        buffer.truncate(read);
        Ok(Some(Bytes::from(buffer)))
    }
}

/// A snapshot on its way in: written and checked at once.
pub(crate) struct Receiving {
    snapshots: Arc<Snapshots>,
    scratch: Option<String>,
    file: Arc<dyn File>,
    offset: u64,
    loader: Loader,
}

impl Receiving {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.loader.push(bytes)?;
        self.file.write_at(self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// The snapshot, if it is whole.
    pub(crate) fn finish(mut self) -> io::Result<(SnapshotMeta, SnapshotData)> {
        let loader = std::mem::replace(&mut self.loader, Loader::new());
        let (meta, state) = loader.finish()?;
        let received = self
            .scratch
            .take()
            .map(|scratch| (scratch, Box::new(state)));
        let data = SnapshotData {
            file: self.file.clone(),
            length: self.offset,
            received,
        };
        Ok((meta, data))
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            // An unfinished file is removed at the next start at the latest.
            let _ = self.snapshots.disk.remove(&scratch);
        }
    }
}
