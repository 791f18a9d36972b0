//! The process that keeps a host's networks, and how it is spoken to.
//!
//! It is small, waits for a question or for a deadline, and does one thing at a time. A question is a line of JSON on a
//! socket that only root may open, and so is the answer.

mod ask;
mod serve;

pub use ask::{AskError, Client};
pub use serve::{Server, boot_id, now};

use crate::keeper::Trouble;
use crate::plan::Refusal;
use crate::wanted::Wanted;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Make a network so, on trial.
    Apply(Box<Wanted>),
    /// The change of this network stays.
    Keep(String),
    /// Take this network away.
    Remove(String),
    /// The change of this network does not do, for this reason: take it back.
    TakeBack(String, String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is so.
    Done,
    /// It is not, for this reason.
    Refused(Word, String),
}

/// Why not, in one word, for whoever decides whether to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// It will do later.
    Waits,
    /// A card is missing.
    DeviceMissing,
    /// Somebody else's configuration is in the way.
    ForeignInTheWay,
    /// Something is on it.
    InUse,
    /// This release cannot.
    NotSupported,
    /// It was tried and taken back.
    RolledBack,
    /// The kernel or the disk refused.
    Refused,
    /// It does not stay as it is set.
    Restless,
}

impl From<&Trouble> for Word {
    fn from(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) => match refusal {
                Refusal::Waits(_) => Self::Waits,
                Refusal::NoCard { .. } => Self::DeviceMissing,
                Refusal::Foreign { .. }
                | Refusal::AddressTaken { .. }
                | Refusal::RouteTaken { .. } => Self::ForeignInTheWay,
                Refusal::InUse { .. } => Self::InUse,
                Refusal::NotSupported(_) => Self::NotSupported,
            },
            Trouble::OnTrial(_) | Trouble::NotOnTrial(_) => Self::Waits,
            Trouble::TakenBack(_) | Trouble::PutBack(_) => Self::RolledBack,
            Trouble::Last(_) => Self::InUse,
            Trouble::Kernel(_) | Trouble::Shelf(_) | Trouble::Firewall(_) => Self::Refused,
            Trouble::Restless => Self::Restless,
        }
    }
}
