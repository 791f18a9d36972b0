use bytes::Bytes;

use crate::{Bucket, Key, Revision};

/// A change that happens as a whole or not at all.
///
/// A transaction carries *results*, never requests to interpret: whoever proposes it has merged,
/// defaulted and validated before. What that work relied on is stated as conditions, and every member
/// checks them at the same place of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold, or nothing is written.
    pub conditions: Vec<Condition>,
    /// Done in order, under one revision. At most one write per key.
    pub writes: Vec<Write>,
}

/// Something that must be true where the transaction stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No value is stored under the key.
    Absent(Key),
    /// Some value is stored under the key.
    Present(Key),
    /// The key was last changed at exactly this revision and still exists.
    AtRevision(Key, Revision),
    /// Nothing in the bucket was created, changed or deleted after this revision. This is what makes
    /// an admission that looked at many objects (a NIC in two bonds, capacity) atomic with its write.
    BucketUnchangedSince(Bucket, Revision),
    /// The entry was proposed by the leader of this term: a deposed leader's planner cannot write
    /// through its successor.
    Term(u64),
    /// The committed feature level is at least this.
    FeatureLevel(u32),
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Store a value.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// When the value disappears by itself, on the log's own clock; events use it.
        expires_at_ms: Option<u64>,
    },
    /// Remove the value. Removing what is not there is no error and no change.
    Delete {
        /// Where.
        key: Key,
    },
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened, at this revision. A transaction without an effect reports the current revision.
    Committed {
        /// The revision of all its writes.
        revision: Revision,
        /// The log's time at its entry, milliseconds since 1970: max(previous entry, leader's clock).
        time_ms: u64,
    },
    /// Nothing happened, because these conditions did not hold.
    Refused(Vec<Refusal>),
}

/// One condition that did not hold, and what was found instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the transaction's conditions.
    pub condition: usize,
    /// For conditions on a key: the revision at which it was last changed, or none when it is absent.
    /// For conditions on a bucket: the revision of its last change.
    pub found: Option<Revision>,
}
