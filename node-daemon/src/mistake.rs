//! Mistakes that tests plant, to show that their checks find them. Without the feature `mistakes` nothing can be planted.

#[cfg(feature = "mistakes")]
use std::cell::Cell;

/// One way to keep a host wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A plan is taken however old it is, for whichever incarnation, and whatever the leader has withdrawn since.
    StalePlanTaken,
    /// Things are activated without a lease.
    LeaseIgnored,
    /// A guest is started as often as it is found off.
    EpochStartedAgain,
    /// What arrives in a migration is let run before the plan says that the source let go.
    ArrivedRunsEarly,
    /// A daemon that starts ends the guests that it did not start itself.
    NothingAdopted,
}

#[cfg(feature = "mistakes")]
impl Mistake {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::StalePlanTaken,
        Self::LeaseIgnored,
        Self::EpochStartedAgain,
        Self::ArrivedRunsEarly,
        Self::NothingAdopted,
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
pub(crate) fn makes(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}

#[cfg(not(feature = "mistakes"))]
pub(crate) const fn makes(_: Mistake) -> bool {
    false
}
