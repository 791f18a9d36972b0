//! How members reach each other, behind a trait.
//!
//! The store speaks in [`Frame`]s and does not care what carries them: gRPC with mutual TLS in the
//! product, memory with faults in tests and in the simulation. Every frame names its sender's history
//! and start counter, so that a member of another history, or one that was restored from an old copy,
//! is refused before anything it says is decoded.

mod grpc;
pub mod sim;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use thiserror::Error;

use crate::{MemberId, takeover::Round};

pub use grpc::{Connect, GrpcTransport, RaftService};

/// What one member says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The sender's line of history.
    pub history_id: Arc<str>,
    /// The sender.
    pub from: MemberId,
    /// How often the sender has been started.
    pub start_counter: u64,
    /// The format of the body.
    pub format: u32,
    /// What the body is.
    pub method: u32,
    /// The message, in the store's own format.
    pub body: Bytes,
    /// The receiver's start as its sender last heard of it; 0 when it never did.
    pub to_start: u64,
    /// The takeover for which the sender has promised to hear only one half.
    pub pledge: Option<Round>,
}

/// Who is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The member.
    pub id: MemberId,
    /// Where it is reached, `host:port`, the preferred first.
    pub addresses: Vec<String>,
}

/// Why a call brought no answer.
///
/// The distinction is what makes a forwarded write safe to repeat, or not.
#[derive(Clone, Debug, Error)]
pub enum TransportError {
    /// The peer surely did not get the call.
    #[error("member {member} cannot be reached: {reason}")]
    Unreachable {
        /// Who.
        member: MemberId,
        /// What was tried.
        reason: String,
    },
    /// The peer may have got the call, but no answer came.
    #[error("no answer from member {member}: {reason}")]
    Lost {
        /// Who.
        member: MemberId,
        /// What happened.
        reason: String,
    },
    /// The peer got the call and refused it without doing anything.
    #[error("member {member} refused: {reason}")]
    Refused {
        /// Who.
        member: MemberId,
        /// Why.
        reason: String,
    },
}

/// A stream of frames on its way out.
pub type Outgoing = BoxStream<'static, Frame>;
/// A stream of answers on its way back.
pub type Answers = BoxStream<'static, Result<Frame, TransportError>>;

/// Carries frames to other members.
pub trait Transport: Send + Sync + 'static {
    /// One question, one answer, within `timeout`.
    fn call(
        &self,
        peer: Peer,
        frame: Frame,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Frame, TransportError>>;

    /// Frames one after the other without waiting; the answers come back in the same order.
    fn replicate(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Answers, TransportError>>;

    /// A snapshot; one answer when it is installed.
    fn snapshot(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Frame, TransportError>>;
}

/// A refusal by the receiving side of a transport: nothing was done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct RefusedFrame(pub String);

/// A stream of frames on its way in; an error is the transport's: the stream broke.
pub type Incoming = BoxStream<'static, Result<Frame, String>>;

/// The receiving side: what a member does with frames from others.
pub trait Receive: Send + Sync + 'static {
    /// Answers a call.
    fn call(&self, frame: Frame) -> BoxFuture<'static, Result<Frame, RefusedFrame>>;
    /// Answers a replication stream, in order.
    fn replicate(&self, frames: Incoming) -> BoxStream<'static, Result<Frame, RefusedFrame>>;
    /// Takes in a snapshot.
    fn snapshot(&self, frames: Incoming) -> BoxFuture<'static, Result<Frame, RefusedFrame>>;
}
