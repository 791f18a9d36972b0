//! What the members of a half say to each other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::MemberId;

/// A place in the log: first the term, then the index.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The term of the entry there.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// The newest membership in a member's log, committed or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Configuration {
    /// Where it stands in the log.
    pub at: Position,
    /// Who votes: a majority of each of these decides. There is one, and in the middle of a change there are two, the
    /// former first.
    pub steps: Vec<BTreeSet<MemberId>>,
}

impl Configuration {
    /// Everybody who has a vote.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<MemberId> {
        self.steps.iter().flatten().copied().collect()
    }
}

/// One attempt of one half. No two attempts share a name: a coordinator counts its own, and each of its starts
/// begins a new count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Round {
    /// Who coordinates it.
    pub by: MemberId,
    /// Its start counter.
    pub start: u64,
    /// Which of its attempts this is.
    pub number: u64,
}

/// What the members of a half say to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Promise to hear nobody outside `side`.
    Ask {
        /// The attempt.
        round: Round,
        /// The half.
        side: BTreeSet<MemberId>,
        /// The coordinator's newest membership.
        configuration: Configuration,
        /// The end of the coordinator's log.
        last: Position,
    },
    /// The promise holds from before this was sent, until its holder says otherwise, gives up or is restarted.
    Promise {
        /// The attempt.
        round: Round,
    },
    /// No promise.
    Refuse {
        /// The attempt.
        round: Round,
        /// Why.
        why: Refusal,
    },
    /// The attempt is over; the promise is given back.
    End {
        /// The attempt.
        round: Round,
    },
}

/// Why a member does not promise.
#[derive(
    Clone, Copy, Debug, Error, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Refusal {
    /// There is a quorum.
    #[error("it is part of a quorum")]
    QuorumSeen,
    /// It may not shoot, so it may not help to shoot.
    #[error("it was in no quorum since its machine started")]
    NeverInQuorum,
    /// Its newest membership is another one.
    #[error("its log holds another membership")]
    OtherMembership,
    /// Its log is newer than the coordinator's: it must coordinate itself.
    #[error("its log is newer")]
    NewerLog,
    /// It is in another attempt.
    #[error("it takes part in another attempt")]
    Busy,
}
