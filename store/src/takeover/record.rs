//! What the log keeps of a takeover.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Round;
use crate::MemberId;

/// That a voter was off after its round had asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The voter.
    pub member: MemberId,
    /// What proves it, in the words of whoever gathered it.
    pub proof: String,
}

/// An outlet, or a machine, that was told to switch off for a round. Who told it keeps that on its own disk until it is
/// settled what became of the round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// For this round.
    pub round: Round,
    /// The host, in the words of whoever drives the devices.
    pub host: String,
    /// The device.
    pub device: String,
    /// What of it; empty where it has just one.
    pub plug: String,
}

/// A takeover, as the log tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The term in which the other half was taken out.
    pub term: u64,
    /// The attempt.
    pub round: Round,
    /// The half that went on.
    pub side: BTreeSet<MemberId>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}
