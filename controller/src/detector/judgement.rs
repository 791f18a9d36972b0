//! What the leader makes of what it hears. It is a state and not a list of happenings: whoever misses one, or comes
//! later, sees the same.

use std::collections::{BTreeMap, BTreeSet};

/// A host and which of its boots is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation {
    /// The host.
    pub node: String,
    /// Its incarnation.
    pub number: u64,
}

/// What the leader makes of what it hears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Online by the log, and silent on all rings for longer than a host may be.
    pub lost: BTreeSet<Incarnation>,
    /// Joining or suspect by the log, and heard.
    pub present: BTreeSet<Incarnation>,
    /// Online or suspect by the log, and not heard since this member started, which was so lately that they may still
    /// come.
    pub awaited: BTreeSet<String>,
    /// Fenced by the log, and heard afterwards: whatever proved it off was wrong.
    pub contradicted: BTreeSet<Incarnation>,
    /// Too many are silent together for this member to believe its own ears: the other voters are to be asked.
    pub doubtful: BTreeSet<Incarnation>,
    /// Silent here, and heard by another member lately.
    pub heard_elsewhere: BTreeSet<String>,
    /// The silent rings of hosts that are heard on another.
    pub silent_rings: BTreeMap<String, Vec<u8>>,
    /// Hosts that are heard though their daemon has not worked for longer than a restart takes.
    pub unwell: BTreeSet<String>,
}
