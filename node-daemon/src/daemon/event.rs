use super::facts::HostReport;
use crate::drivers::{DriverError, Question};
use crate::link::{LinkError, Updates};
use crate::plan::MemoryError;
use crate::reconcile::{Job, Observation, Subsystem};
use quorate_crds::Name;
use quorate_proto::host::v1::PlanUpdate;

/// What happened to the daemon.
pub(super) enum Event {
    /// It was asked to stop.
    Stop,
    /// An act has ended.
    Job(Box<Job>, Result<(), DriverError>),
    /// A subsystem was looked at.
    Looked(Observation),
    /// The host was described.
    Facts(Box<Result<HostReport, DriverError>>),
    /// The plan can be followed.
    Followed(Result<Updates, LinkError>),
    /// The plan changed, or cannot be followed any more.
    Update(Option<Result<PlanUpdate, LinkError>>),
    /// The newest generation was remembered.
    Remembered(Result<(), MemoryError>),
    /// Something of a subsystem, or of the host, may have changed.
    Hint(Option<Subsystem>),
    /// The storage asks about a peer.
    Question(Question),
    /// It was answered, or asks no more.
    Answered(Name, Name),
    /// A report has arrived, or not.
    Reported(Result<(), LinkError>),
    /// Figures were sent.
    FiguresSent,
    /// The host was let go, or not.
    Left(Result<(), LinkError>),
    /// The lease changed.
    Lease,
    /// Figures are due.
    Figures,
    /// Everything is to be looked at.
    Audit,
    /// A moment has come that was waited for.
    Due,
}
