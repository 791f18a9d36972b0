//! One file of the log.
//!
//! ```text
//! log-<sequence number, 16 hex digits>.seg
//!
//! header   8 bytes  "QRTLOG\r\n"
//!          u32      format version
//!          u32      0
//!          u64      sequence number
//!          u64      where the valid part of the segment before ends
//!          u64      how much of this segment was durable before it got its name
//!          u64      the file's length
//!          u32      CRC32C of all that
//!          12 bytes 0
//! records  the first is a base record; after the last: "~unused~" again and again
//! ```
//!
//! A segment is filled, synced, given header, base and what it begins with, synced again, and only then
//! renamed into place. So a visible segment is never half made, appending to it changes no metadata and
//! cannot run out of room on file systems that overwrite in place, and what was never written can be
//! recognised (zeros could not: entries have plenty of them).

use std::{io, sync::Arc};

use bytes::{Buf, BufMut};

use super::{
    LogError,
    index::Place,
    record::{Record, State},
};
use crate::disk::{Disk, File};

/// The only format so far.
const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"QRTLOG\r\n";
/// Where the first record begins.
pub(super) const HEADER: usize = 64;
const SUMMED: usize = 48;
/// What a segment is called until it is whole.
const SCRATCH: &str = "log-next.tmp";
/// What a segment is filled with. Records begin and end at multiples of its length.
const UNUSED: &[u8; 8] = b"~unused~";
const CHUNK: usize = 1024 * 1024;

/// An open segment.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) sequence: u64,
    pub(super) size: u64,
    pub(super) file: Arc<dyn File>,
}

/// A filled file that is to become a segment.
pub(super) struct Scratch {
    pub(super) size: u64,
    file: Arc<dyn File>,
}

/// What a segment says about itself and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) previous_end: u64,
    pub(super) durable: u64,
    pub(super) size: u64,
}

/// The file name of a segment.
pub(super) fn name(sequence: u64) -> String {
    format!("log-{sequence:016x}.seg")
}

/// The sequence number in a segment's file name.
pub(super) fn sequence(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?.strip_suffix(".seg")?;
    let sequence = u64::from_str_radix(digits, 16).ok()?;
    (self::name(sequence) == name).then_some(sequence)
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_slice(MAGIC);
        out.put_u32_le(FORMAT);
        out.put_u32_le(0);
        out.put_u64_le(self.sequence);
        out.put_u64_le(self.previous_end);
        out.put_u64_le(self.durable);
        out.put_u64_le(self.size);
        let sum = crc32c::crc32c(&out[start..]);
        out.put_u32_le(sum);
        out.resize(start + HEADER, 0);
    }

    /// The header of the segment `expected` in this file.
    pub(super) fn read(expected: u64, file: &dyn File) -> Result<Self, LogError> {
        let corrupt = |reason: String| LogError::Corrupt {
            file: name(expected),
            offset: 0,
            reason,
        };
        let length = file.length()?;
        let mut header = [0; HEADER];
        if file.read_at(0, &mut header)? < HEADER {
            return Err(corrupt(format!(
                "the file has {length} bytes, less than a header"
            )));
        }
        let mut rest = &header[..];
        if &rest[..MAGIC.len()] != MAGIC {
            return Err(corrupt("this is no segment of a log".to_owned()));
        }
        rest.advance(MAGIC.len());
        let format = rest.get_u32_le();
        rest.advance(4);
        let found = Self {
            sequence: rest.get_u64_le(),
            previous_end: rest.get_u64_le(),
            durable: rest.get_u64_le(),
            size: rest.get_u64_le(),
        };
        if crc32c::crc32c(&header[..SUMMED]) != rest.get_u32_le() {
            return Err(corrupt("the header's checksum is wrong".to_owned()));
        }
        if format != FORMAT {
            return Err(LogError::Format {
                file: name(expected),
                found: format,
                supported: FORMAT,
            });
        }
        if found.sequence != expected {
            return Err(corrupt(format!(
                "the header belongs to segment {}",
                name(found.sequence)
            )));
        }
        if found.size != length {
            return Err(corrupt(format!(
                "the file has {length} bytes, its header says {}",
                found.size
            )));
        }
        Ok(found)
    }
}

/// Makes a file that has all its room, under the scratch name.
pub(super) fn allocate(disk: &dyn Disk, size: u64) -> io::Result<Scratch> {
    discard_scratch(disk)?;
    let available = disk.available()?;
    if available < size {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "the log needs {size} bytes for its next segment, the disk has {available} left"
            ),
        ));
    }
    let file = disk.create(SCRATCH)?;
    match fill(&*file, size) {
        Ok(()) => Ok(Scratch { size, file }),
        Err(error) => {
            // Give back the room; the first error is the one worth reporting.
            let _ = disk.remove(SCRATCH);
            Err(error)
        }
    }
}

/// Removes what an interrupted [`allocate`] left.
pub(super) fn discard_scratch(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(SCRATCH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether nothing was ever written to this part of a segment, which begins at a multiple of 8.
pub(super) fn is_unused(bytes: &[u8]) -> bool {
    bytes.chunks(UNUSED.len()).all(|word| word == UNUSED)
}

fn fill(file: &dyn File, size: u64) -> io::Result<()> {
    let length = size.min(CHUNK as u64) as usize;
    let chunk = UNUSED.repeat(length / UNUSED.len());
    let mut done = 0;
    while done < size {
        let part = (size - done).min(chunk.len() as u64);
        // At most `chunk.len()`, so it fits.
        file.write_at(done, &chunk[..part as usize])?;
        // Chunk by chunk, so that commits of the segment in use do not queue behind all of it.
        file.sync_data()?;
        done += part;
    }
    Ok(())
}

/// How long a segment must be to begin with these.
pub(super) fn needed(state: &State, records: &[Record]) -> u64 {
    let base = Record::Base(state.clone()).length();
    let rest: usize = records.iter().map(Record::length).sum();
    (HEADER + base + rest) as u64
}

/// Turns the scratch file into the next segment; returns it and where each of `records` lies.
pub(super) fn publish(
    disk: &dyn Disk,
    scratch: Scratch,
    sequence: u64,
    previous_end: u64,
    state: &State,
    records: &[Record],
) -> io::Result<(Segment, u64, Vec<Place>)> {
    let durable = needed(state, records);
    let header = Header {
        sequence,
        previous_end,
        durable,
        size: scratch.size,
    };
    let mut content = Vec::new();
    header.write(&mut content);
    Record::Base(state.clone()).write(sequence, content.len() as u64, &mut content);
    let mut places = Vec::new();
    for record in records {
        let offset = content.len() as u64;
        record.write(sequence, offset, &mut content);
        places.push(Place {
            segment: sequence,
            offset,
            length: record.length(),
        });
    }
    scratch.file.write_at(0, &content)?;
    scratch.file.sync_data()?;
    disk.rename(SCRATCH, &name(sequence))?;
    disk.sync_dir()?;
    let segment = Segment {
        sequence,
        size: scratch.size,
        file: scratch.file,
    };
    Ok((segment, durable, places))
}
