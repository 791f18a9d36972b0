//! What members ask each other beside replication.

mod by_name;
mod grpc;
mod service;

use futures_util::future::BoxFuture;
use quorate_proto::member::v1::{HeardReply, HeardRequest, RunAgentReply, RunAgentRequest};
use quorate_store::MemberId;
use thiserror::Error;

pub use by_name::CallsByName;
pub use grpc::GrpcMemberCalls;
pub use service::MembersService;

/// Why another member did not answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// It was not reached, or did not answer: what it was asked to do may have been done.
    #[error("member {member} does not answer: {reason}")]
    NoAnswer {
        /// Who.
        member: MemberId,
        /// What was tried.
        reason: String,
    },
    /// It refused: nothing was done, and asking again does not help.
    #[error("member {member} refuses: {reason}")]
    Refused {
        /// Who.
        member: MemberId,
        /// Why.
        reason: String,
    },
}

/// Asks other members: by gRPC in the product, in memory in a simulation. Every call must end by itself.
pub trait MemberCalls: Send + Sync {
    /// When it last heard hosts itself.
    fn heard(
        &self,
        member: MemberId,
        request: HeardRequest,
    ) -> BoxFuture<'static, Result<HeardReply, CallError>>;

    /// Runs a fence agent there.
    fn run_agent(
        &self,
        member: MemberId,
        request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, CallError>>;
}
