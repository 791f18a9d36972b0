//! A disk in memory whose power can be cut: **for tests and simulation only**.
//!
//! It keeps, beside what a reader sees, what a platter would hold: per file every version that a sector
//! had since the last sync, and per directory every name change since the last sync. A power cut
//! picks, from a seed, any version of every such sector, any subset of the name changes, and so makes
//! every disk that the contract in [`super`] allows. The same seed and calls give the same disk.

mod directory;
mod inode;
mod random;

use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Disk, File};
use directory::{Change, Directory};
use inode::Inode;
use random::Random;

/// What survives or is lost as a unit.
pub const SECTOR: usize = 512;

/// A call that changes the disk, as shown to the hook of [`SimDisk::on_change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Disk::create`].
    Create,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`File::write_at`] of so many bytes.
    Write(usize),
    /// [`File::sync_data`].
    Sync,
    /// [`File::set_len`].
    SetLen,
}

/// Sees every changing call before it happens; an error makes the call fail.
pub type Hook = Box<dyn FnMut(Call) -> io::Result<()> + Send>;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    random: Random,
    inodes: Vec<Inode>,
    directory: Directory,
    /// Handles of an earlier start no longer work.
    start: u64,
    /// Changing calls until the power fails.
    fuse: Option<u64>,
    capacity: Option<u64>,
    hook: Option<Hook>,
}

impl SimDisk {
    /// An empty disk; `seed` decides what a power cut leaves.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            inodes: Vec::new(),
            directory: Directory::default(),
            start: 0,
            fuse: None,
            capacity: None,
            hook: None,
        })))
    }

    /// The disk as a process that starts now sees it.
    pub fn mount(&self) -> Arc<dyn Disk> {
        Arc::new(Mount {
            disk: self.clone(),
            start: self.state().start,
        })
    }

    /// The process dies, the kernel lives: nothing is lost, old handles stop working.
    pub fn kill(&self) {
        let mut state = self.state();
        state.start += 1;
        state.fuse = None;
    }

    /// The power fails: of what was not synced, anything may be lost.
    pub fn cut_power(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.start += 1;
        state.fuse = None;
        for inode in &mut state.inodes {
            inode.cut_power(&mut state.random);
        }
        state.directory.cut_power(&mut state.random);
        for (id, inode) in state.inodes.iter_mut().enumerate() {
            if !state.directory.holds(id) {
                *inode = Inode::default();
            }
        }
    }

    /// Lets this many more changing calls succeed; the next one happens in part, and it and all that
    /// follow fail until [`SimDisk::kill`] or [`SimDisk::cut_power`].
    pub fn fail_after(&self, calls: u64) {
        self.state().fuse = Some(calls);
    }

    /// How many bytes the disk holds at most; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// How many bytes are in use.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Shows every changing call to `hook`, which may delay it, count it or make it fail.
    ///
    /// A sync that fails in this way loses the unsynced bytes as Linux does: they can still be read,
    /// count as clean, and are gone after a power cut.
    pub fn on_change(&self, hook: Option<Hook>) {
        self.state().hook = hook;
    }

    /// Inverts one bit of a file, as rot does. Returns whether there is such a file and such a byte.
    pub fn flip_bit(&self, name: &str, offset: usize, bit: u8) -> bool {
        let mut state = self.state();
        match state.directory.find(name) {
            Some(id) => state.inodes[id].flip_bit(offset, bit),
            None => false,
        }
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.state().directory.names()
    }

    /// What a reader sees in a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.directory.find(name)?;
        Some(state.inodes[id].content().to_vec())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if handles of this start are still alive.
    fn alive(&self, start: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.start == start {
            Ok(state)
        } else {
            Err(io::Error::other("this process is dead"))
        }
    }

    /// The state, if a call that changes it may go on.
    fn change(&self, start: u64, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive(start)?;
        match &mut state.fuse {
            Some(0) => return Err(io::Error::other("the power is off")),
            Some(left) => *left -= 1,
            None => {}
        }
        match &mut state.hook {
            Some(hook) => hook(call).map(|()| state),
            None => Ok(state),
        }
    }
}

impl State {
    fn used(&self) -> u64 {
        self.inodes
            .iter()
            .enumerate()
            .filter(|(id, _)| self.directory.holds(*id))
            .map(|(_, inode)| inode.content().len() as u64)
            .sum()
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.directory
            .find(name)
            .ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no file {name}")))
    }

    /// How much of an extension of a file from `old` to `new` bytes there is room for.
    fn room(&self, old: u64, new: u64) -> u64 {
        match self.capacity {
            Some(capacity) => new.min(old.max(old + capacity.saturating_sub(self.used()))),
            None => new,
        }
    }
}

struct Mount {
    disk: SimDisk,
    start: u64,
}

impl Mount {
    fn handle(&self, id: usize) -> Arc<dyn File> {
        Arc::new(Handle {
            disk: self.disk.clone(),
            start: self.start,
            id,
        })
    }
}

impl Disk for Mount {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.disk.change(self.start, Call::Create)?;
        if state.directory.find(name).is_some() {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                format!("{name} exists"),
            ));
        }
        let id = state.inodes.len();
        state.inodes.push(Inode::default());
        state.directory.apply(Change::Link(name.to_owned(), id));
        Ok(self.handle(id))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.disk.alive(self.start)?.find(name)?;
        Ok(self.handle(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.disk.change(self.start, Call::Rename)?;
        let id = state.find(from)?;
        state
            .directory
            .apply(Change::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.disk.change(self.start, Call::Remove)?;
        state.find(name)?;
        state.directory.apply(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.alive(self.start)?.directory.names())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk
            .change(self.start, Call::SyncDir)?
            .directory
            .sync();
        Ok(())
    }

    fn available(&self) -> io::Result<u64> {
        let state = self.disk.alive(self.start)?;
        Ok(match state.capacity {
            Some(capacity) => capacity.saturating_sub(state.used()),
            None => u64::MAX,
        })
    }
}

struct Handle {
    disk: SimDisk,
    start: u64,
    id: usize,
}

impl File for Handle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.alive(self.start)?;
        let content = state.inodes[self.id].content();
        let start = usize::try_from(offset)
            .map_err(io::Error::other)?
            .min(content.len());
        let length = buffer.len().min(content.len() - start);
        buffer[..length].copy_from_slice(&content[start..start + length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut failed = None;
        let mut state = match self.disk.change(self.start, Call::Write(data.len())) {
            Ok(state) => state,
            Err(error) => {
                failed = Some(error);
                self.disk.alive(self.start)?
            }
        };
        let end = offset + data.len() as u64;
        let length = state.inodes[self.id].content().len() as u64;
        let mut fits = end.min(state.room(length, end.max(length)));
        if fits < end && failed.is_none() {
            failed = Some(io::Error::new(ErrorKind::StorageFull, "no room"));
        }
        if failed.is_some() {
            // What did fit, or what was under way, ends at the edge of a sector.
            let sectors = state.random.below(data.len() as u64 / SECTOR as u64 + 2);
            let edge = (offset / SECTOR as u64 + sectors) * SECTOR as u64;
            fits = fits.min(edge.max(offset));
        }
        if fits > offset {
            let part = usize::try_from(fits - offset).map_err(io::Error::other)?;
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            state.inodes[self.id].write(start, &data[..part]);
        }
        failed.map_or(Ok(()), Err)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.disk.change(self.start, Call::Sync) {
            Ok(mut state) => {
                state.inodes[self.id].sync();
                Ok(())
            }
            Err(error) => {
                let mut guard = self.disk.alive(self.start)?;
                let state = &mut *guard;
                state.inodes[self.id].fail_sync(&mut state.random);
                Err(error)
            }
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.change(self.start, Call::SetLen)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        state.inodes[self.id].set_len(length);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.disk.alive(self.start)?;
        Ok(state.inodes[self.id].content().len() as u64)
    }
}
