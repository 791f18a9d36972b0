//! Mistakes that tests plant, to show that their checks find them. Without the feature `mistakes` nothing can be planted.

use crate::mistake::plantable;

/// One way to judge wrongly who is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A new leader counts the silence from before it led.
    NoGrace,
    /// The time in which the detector itself stood still counts against the hosts.
    StallCounts,
    /// When most hosts are silent together, the other voters are not asked what they hear.
    BelievesItself,
}

#[cfg(feature = "mistakes")]
impl Mistake {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoGrace, Self::StallCounts, Self::BelievesItself];
}

plantable!(Mistake);
