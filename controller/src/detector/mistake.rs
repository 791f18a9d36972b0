//! Mistakes that tests plant, to show that their checks find them. Without the feature `mistakes` nothing can be planted.

#[cfg(feature = "mistakes")]
use std::cell::Cell;

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

#[cfg(feature = "mistakes")]
thread_local! {
    static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// From now on this thread makes this mistake, or none.
#[cfg(feature = "mistakes")]
pub fn plant(mistake: Option<Mistake>) {
    PLANTED.set(mistake);
}

#[cfg(feature = "mistakes")]
pub(super) fn makes(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}

#[cfg(not(feature = "mistakes"))]
pub(super) const fn makes(_: Mistake) -> bool {
    false
}
