//! Snapshots and backups: the whole state at one place of the log, as a stream of checked blocks.
//!
//! A stream is the magic number and then blocks of `length, checksum, kind, body`, all integers
//! little-endian. The checksum (CRC-32C) covers the block's number, its kind and its body, so that a
//! changed, lost, repeated or misplaced block is noticed. The first block is the header, the last one
//! counts what came between; a stream without its last block is torn. A snapshot file, what a leader
//! sends to a member that lags, and a backup are the same stream.

mod files;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use files::{SnapshotData, Snapshots};
pub(crate) use reader::Loader;
pub(crate) use writer::Blocks;

const MAGIC: &[u8; 8] = b"quorsn\x00\x01";
/// length u32, checksum u32, kind u8
const PREFIX: usize = 9;
const HEADER: u8 = 1;
const VALUES: u8 = 2;
const END: u8 = 3;
/// No block is longer, whatever its length field says.
const LONGEST: usize = 80 << 20;

fn checksum(number: u64, kind: u8, body: &[u8]) -> u32 {
    let start = crc32c::crc32c(&number.to_le_bytes());
    let start = crc32c::crc32c_append(start, &[kind]);
    crc32c::crc32c_append(start, body)
}
