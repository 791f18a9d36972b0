//! Mistakes that tests plant, to show that their checks find them. Without the feature `mistakes` nothing can be planted.

#[cfg(feature = "mistakes")]
use std::cell::Cell;

/// One way to keep a log wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// What was written is reported durable at once, and synced with one of the writes after it.
    SyncPutOff,
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
pub(crate) fn makes(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}

#[cfg(not(feature = "mistakes"))]
pub(crate) const fn makes(_: Mistake) -> bool {
    false
}
