//! The directory that a member keeps its data in, behind a trait.
//!
//! Everything the store writes goes through [`Disk`] and [`File`], for one reason: what a store promises
//! about power cuts can only be tested on a disk whose power can be cut. [`RealDisk`] is the product;
//! [`sim::SimDisk`] loses what was not synced, tears what was being written, fills up and rots on demand.
//!
//! The contract is that of POSIX and no stronger:
//!
//! - written bytes survive a power cut once [`File::sync_data`] has returned without an error, and until
//!   then any subset of the written sectors may survive, in any order;
//! - a created, renamed or removed *name* survives once [`Disk::sync_dir`] has returned, whatever was
//!   synced of the file itself;
//! - after a failed [`File::sync_data`] the file's unsynced bytes are undefined for ever: a later sync
//!   that succeeds says nothing about them, and reading them back proves nothing.
//!
//! All calls block. Callers that must not block run them on a thread of their own.

mod real;
pub mod sim;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

pub use real::RealDisk;

/// One flat directory of files, used by one process at a time.
pub trait Disk: Send + Sync + 'static {
    /// Creates an empty file; an error when the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens an existing file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, atomically replacing what had that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name. Open handles go on working.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes all creations, renames and removals so far durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// How many bytes may still be written.
    fn available(&self) -> io::Result<u64>;
}

/// An open file that is read and written by position.
pub trait File: Send + Sync + 'static {
    /// Reads until `buffer` is full or the file ends; returns how much was read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data`. After an error any part of it may have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes all bytes written so far durable (not the name, see [`Disk::sync_dir`]).
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file, or extends it with zeros that take no room yet.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// The file's length.
    fn length(&self) -> io::Result<u64>;
}

/// Whether an error means that there is no room: the condition passes when something is freed.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The whole of a file.
pub fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Replaces a small file so that after a crash either the old or the new content is found, whole.
///
/// It is durable when this returns.
pub fn replace(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let scratch = format!("{name}.tmp");
    match disk.remove(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&scratch)?;
    let written = file.write_at(0, content).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // Give back the room; the first error is the one worth reporting.
        let _ = disk.remove(&scratch);
        return Err(error);
    }
    disk.rename(&scratch, name)?;
    disk.sync_dir()
}
