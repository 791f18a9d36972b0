//! Mistakes that tests plant, to show that their checks find them. Without the feature `mistakes` nothing can be planted.

#[cfg(feature = "mistakes")]
use std::cell::Cell;

/// One way to fence wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A device that was told to switch off counts as off without being asked.
    SuccessNotVerified,
    /// A level succeeds when one of its devices does.
    OneDeviceIsEnough,
    /// Power returns before the success is committed.
    PowerReturnsEarly,
    /// A host's own member runs agents against it.
    VictimRunsAgent,
    /// The lease is not counted when a watchdog is waited for.
    LeaseNotAwaited,
    /// After the last level nothing more is tried.
    GivesUp,
    /// The last level is tried first.
    LastLevelFirst,
    /// A device that was contradicted is believed.
    ContradictedBelieved,
}

#[cfg(feature = "mistakes")]
impl Mistake {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SuccessNotVerified,
        Self::OneDeviceIsEnough,
        Self::PowerReturnsEarly,
        Self::VictimRunsAgent,
        Self::LeaseNotAwaited,
        Self::GivesUp,
        Self::LastLevelFirst,
        Self::ContradictedBelieved,
    ];
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
