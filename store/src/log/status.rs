use bytes::Bytes;

use super::EntryId;

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The newest vote.
    pub vote: Option<Bytes>,
    /// Up to where entries are known to be committed: never too much, maybe too little.
    pub committed: Option<EntryId>,
    /// The last purged entry.
    pub purged: Option<EntryId>,
    /// The first entry that is there.
    pub first: Option<EntryId>,
    /// The last entry, or the last purged one when there is none.
    pub last: Option<EntryId>,
    /// Where an unacknowledged write was cut short and its remains were dropped.
    pub torn: Option<Torn>,
}

/// The remains of a write that a crash interrupted and nobody was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// In which file.
    pub file: String,
    /// From which byte on.
    pub offset: u64,
}

/// Whether the log can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Good,
    /// The disk has no room for the next segment. Do not propose anything new; what is proposed all the
    /// same is taken while the segment in use has room, and waits afterwards. Passes by itself.
    Full(String),
    /// The disk failed: open the log again.
    Failed(String),
}

/// Figures about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// How many entries there are.
    pub entries: usize,
    /// How many bytes of payload are in memory.
    pub cached_bytes: usize,
    /// How many segments there are.
    pub segments: usize,
    /// How many bytes they take on the disk.
    pub disk_bytes: u64,
    /// How many syncs have been done for commits since it was opened.
    pub syncs: u64,
}
