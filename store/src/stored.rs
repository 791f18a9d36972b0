use bytes::Bytes;

use crate::{Key, Revision};

/// A value and where in the store's order it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub value: Bytes,
    /// The revision that created the key, since it was last absent.
    pub created: Revision,
    /// The revision that last changed it.
    pub modified: Revision,
}

/// One change of one key, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision of the transaction. All changes of one transaction carry the same.
    pub revision: Revision,
    /// What changed.
    pub key: Key,
    /// The new value; none when the key was deleted or expired.
    pub value: Option<Bytes>,
    /// What was there before; none when the key was created.
    pub previous: Option<Stored>,
    /// The log's time, milliseconds since 1970.
    pub time_ms: u64,
}
