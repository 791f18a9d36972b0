//! How a member says to a host why it does not get what it asked for, beside the words for people.

/// The trailer that holds one of the reasons below.
pub const REASON: &str = "quorate-host-reason";
/// With [`NOT_LEADER`]: the leader, as an encoded `MemberAddress`.
pub const LEADER: &str = "quorate-leader-bin";

/// Another member leads, or none. Nothing was done.
pub const NOT_LEADER: &str = "NotLeader";
/// The same may be granted later without a person having done something.
pub const NOT_NOW: &str = "NotNow";
/// Asking again does not help before a person has done something.
pub const REFUSED: &str = "Refused";
/// This boot of the host counts no more.
pub const INCARNATION_OVER: &str = "IncarnationOver";
/// There is no quorum, or the outcome is not known. Asking again is harmless.
pub const UNAVAILABLE: &str = "Unavailable";
