use thiserror::Error;

use crate::{MemberId, Revision};

/// Why the store did not do what it was asked.
///
/// [`StoreError::is_retryable`] says whether the same call may succeed later; after
/// [`StoreError::Unknown`] the caller must look before it repeats a write.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No quorum answered in time, or no leader is known; nothing was written.
    #[error(
        "no quorum: {reason}; reads marked stale are still answered, writes resume with a majority of members"
    )]
    NoQuorum {
        /// What was tried.
        reason: String,
    },
    /// The outcome of a write is not known: it may or may not have been committed.
    #[error("the outcome is unknown: {reason}; read the object before trying again")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// This member's disk has no room; reads go on, writes resume by themselves when there is room.
    #[error(
        "the store's disk is full on member {member}: {detail}; free space there, writes resume by themselves"
    )]
    DiskFull {
        /// Whose disk.
        member: MemberId,
        /// What the system said.
        detail: String,
    },
    /// The transaction is larger than the store takes.
    #[error("the change has {found} bytes, at most {allowed} are allowed")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        allowed: usize,
    },
    /// The request names a member that does not exist or is not in the right role.
    #[error("member {member}: {reason}")]
    Member {
        /// Which.
        member: MemberId,
        /// Why not.
        reason: String,
    },
    /// The peer belongs to another history, or is a member restored from an old copy.
    #[error("refused: {reason}")]
    Foreign {
        /// What differs, and what to do.
        reason: String,
    },
    /// What is on the disk cannot be trusted; this member stops until a person acts.
    #[error("damaged store at {path}: {reason}")]
    Damaged {
        /// Which file.
        path: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// The read asked for a revision that is no longer kept.
    #[error("revision {wanted} is no longer kept, the oldest is {oldest}")]
    Expired {
        /// Asked for.
        wanted: Revision,
        /// Still there.
        oldest: Revision,
    },
    /// The read asked for a revision that does not exist yet.
    #[error("revision {wanted} does not exist yet, the newest is {newest}")]
    Future {
        /// Asked for.
        wanted: Revision,
        /// The newest.
        newest: Revision,
    },
    /// The disk failed.
    #[error("storage of the store failed")]
    Io(#[from] std::io::Error),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Stopped,
}

impl StoreError {
    /// Whether the same call may succeed later without anything being changed by a person.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NoQuorum { .. } | Self::Unknown { .. } | Self::DiskFull { .. }
        )
    }
}

/// Why a watch ended.
#[derive(Debug, Error)]
pub enum WatchError {
    /// History up to `oldest` was compacted before the watcher read it: list again, then watch.
    #[error(
        "revision {wanted} is no longer kept, the oldest is {oldest}: list again and watch from there"
    )]
    Expired {
        /// Where the watcher stood.
        wanted: Revision,
        /// What is still kept.
        oldest: Revision,
    },
    /// The store is shutting down, or was replaced by a snapshot of another history.
    #[error("the store is shutting down")]
    Stopped,
}
