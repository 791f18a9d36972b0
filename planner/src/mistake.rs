//! Mistakes that a test may have the planner make, to prove that its checks would find them.
//!
//! They exist only with the feature `mistakes`, which nothing but tests asks for, and are made only by
//! the thread that asked. Without the feature `made` is `false`, and the compiler drops what it
//! guards.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A silent host counts as confirmed off.
    SilenceIsProof,
    /// Evidence that was contradicted counts on.
    VoidedEvidenceCounts,
    /// What a host said about an older generation of a record counts.
    OldAnswersCount,
    /// A right ends when it is withdrawn, not when its host has let go.
    WithdrawnIsReleased,
    /// A volume is opened on a second host without waiting until both allow two.
    JoinsUnasked,
    /// A volume stays open for two when only one host needs it.
    StaysOpenForTwo,
    /// A replica that is behind may be opened.
    StaleReplicaOpens,
    /// A replica that only connects counts as in sync.
    ConnectedIsInSync,
    /// Memory is given without being counted.
    MemoryIsNotCounted,
    /// A guest that stopped by itself is started again under its former epoch.
    EpochIsReused,
    /// A volume is closed while a guest still uses it.
    VolumeClosesFirst,
    /// Locks are given to new members before the former ones have stopped.
    LocksGoOn,
}

#[cfg(feature = "mistakes")]
mod making {
    use super::Mistake;
    use std::cell::Cell;

    thread_local! {
        static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    impl Mistake {
        /// All of them.
        pub const ALL: [Self; 12] = [
            Self::SilenceIsProof,
            Self::VoidedEvidenceCounts,
            Self::OldAnswersCount,
            Self::WithdrawnIsReleased,
            Self::JoinsUnasked,
            Self::StaysOpenForTwo,
            Self::StaleReplicaOpens,
            Self::ConnectedIsInSync,
            Self::MemoryIsNotCounted,
            Self::EpochIsReused,
            Self::VolumeClosesFirst,
            Self::LocksGoOn,
        ];
    }

    /// From now on the planner makes that mistake on this thread, or none.
    pub fn make(mistake: Option<Mistake>) {
        MADE.set(mistake);
    }

    pub(crate) fn made(mistake: Mistake) -> bool {
        MADE.get() == Some(mistake)
    }
}

#[cfg(feature = "mistakes")]
pub(crate) use making::made;
#[cfg(feature = "mistakes")]
pub use making::make;

#[cfg(not(feature = "mistakes"))]
pub(crate) const fn made(_: Mistake) -> bool {
    false
}
