use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why the room did not do what it was asked for. Nothing was changed.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// What is meant is not there.
    #[error("{0}")]
    NotThere(String),
    /// Something still uses it, or uses it elsewhere.
    #[error("{0}")]
    Busy(String),
    /// The data are not good enough.
    #[error("{0}")]
    NoData(String),
    /// These peers are silent, and nobody has said yet that it may be written without them. The question is put; try
    /// again.
    #[error("nobody has decided about {} yet", .0.join(" and "))]
    PeerUnknown(Vec<String>),
    /// There is no room for it.
    #[error("{0}")]
    NoSpace(String),
    /// Something foreign is in the way.
    #[error("{0}")]
    Foreign(String),
    /// The guest could not be started, or its migration failed; it is where it was.
    #[error("{0}")]
    Guest(String),
    /// A fault that was put into the room on purpose.
    #[error("the call fails because the simulation was told so")]
    Fault,
    /// A fault that was put into the room on purpose: the call may have done its work.
    #[error("the answer is lost because the simulation was told so")]
    AnswerLost,
    /// The fence device does not answer.
    #[error("{0}")]
    Unreachable(String),
}
