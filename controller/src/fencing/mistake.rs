//! Mistakes that tests plant, to show that their checks find them. Without the feature `mistakes` nothing can be planted.

use crate::mistake::plantable;

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

plantable!(Mistake);
