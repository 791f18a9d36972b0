use std::io;

use thiserror::Error;

/// Why the log cannot be opened, read or written to. None of these passes by trying again, except that
/// a log which cannot be opened for want of room ([`LogError::Io`]) can be once there is some.
#[derive(Debug, Error)]
pub enum LogError {
    /// Something that was acknowledged is no longer what it was.
    #[error(
        "the log is damaged: {file} at byte {offset}: {reason}; acknowledged entries may be lost here, so this member must not go on with this log: \
         set its data directory aside and let it join again, it then gets everything from the other members"
    )]
    Corrupt {
        /// Which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// The log was written by a later version.
    #[error(
        "{file} has log format {found}, this version reads format {supported}: run the version that wrote it, or a later one"
    )]
    Format {
        /// Which file.
        file: String,
        /// What its header says.
        found: u32,
        /// What can be read.
        supported: u32,
    },
    /// The entries do not continue the log.
    #[error("entry {found} does not continue a log whose next index is {expected}")]
    Gap {
        /// The index offered.
        found: u64,
        /// The index wanted.
        expected: u64,
    },
    /// Entries were asked for, or to be kept, that are not there.
    #[error("entry {index} is not in the log, which holds {first} to {last}")]
    Absent {
        /// The index asked for.
        index: u64,
        /// The first that is there.
        first: u64,
        /// The last that is there.
        last: u64,
    },
    /// An earlier write failed in a way after which nothing on the disk can be trusted until it was
    /// read again.
    #[error(
        "the log stopped after an error of its disk: {reason}; check the disk, then restart this member: it reads its log again and keeps what is whole"
    )]
    Failed {
        /// The first error.
        reason: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The disk failed.
    #[error("the log's disk failed")]
    Io(#[from] io::Error),
}

/// Why a write to the log will never become durable.
///
/// A full disk is not among these: such writes wait, see [`super::Health::Full`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The entries were taken back by a truncation before they reached the disk.
    #[error("the entries were truncated before they were written")]
    Truncated,
    /// The disk failed; the log takes no more writes until it is opened again.
    #[error(
        "the log's disk failed: {reason}; check the disk, then restart this member: it reads its log again and keeps what is whole"
    )]
    Failed {
        /// What the system said.
        reason: String,
    },
    /// The log was closed while the write waited for room on the disk.
    #[error("the log was closed before the write happened")]
    Closed,
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        Self::other(error)
    }
}
