use std::fmt;

use bytes::Bytes;

/// The place of an entry in the log, and the leadership under which it was written there.
///
/// Two entries of equal id are equal: that is Raft's promise, and the log relies on nothing else
/// about term and leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId {
    /// Its position; consecutive.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// The leader that proposed it.
    pub leader: u64,
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (term {}, leader {})",
            self.index, self.term, self.leader
        )
    }
}

/// One entry: its id, and bytes that mean nothing to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub id: EntryId,
    /// What it says.
    pub payload: Bytes,
}
