use std::collections::VecDeque;

use super::{Entry, WriteError, record::Record};

/// Called once, when a write is durable, or when it never will be. It may run on the log's own thread
/// and must not block.
pub type Done = Box<dyn FnOnce(Result<(), WriteError>) + Send>;

/// A write that waits for its turn.
pub(super) enum Operation {
    /// Entries, appended after so many truncations.
    Append {
        entries: VecDeque<Entry>,
        epoch: u64,
        done: Done,
    },
    /// Anything small: it may use the room that entries may not.
    Control { records: Vec<Record>, done: Done },
}

impl Operation {
    /// Whether its order among its like matters even when it has to wait for room.
    pub(super) fn is_cut(&self) -> bool {
        match self {
            Self::Append { .. } => false,
            Self::Control { records, .. } => records
                .iter()
                .any(|record| matches!(record, Record::Truncate(_) | Record::Purge(_))),
        }
    }

    pub(super) fn into_done(self) -> Done {
        match self {
            Self::Append { done, .. } | Self::Control { done, .. } => done,
        }
    }
}

/// A write whose fate is known.
pub(super) struct Finished {
    done: Done,
    result: Result<(), WriteError>,
}

impl Finished {
    pub(super) fn new(done: Done, result: Result<(), WriteError>) -> Self {
        Self { done, result }
    }

    /// Tells the caller. No lock may be held.
    pub(super) fn tell(self) {
        (self.done)(self.result);
    }
}
