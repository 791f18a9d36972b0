//! Frames over the gRPC service `quorate.raft.v1.Raft`.

mod client;
mod server;

pub use client::{Connect, GrpcTransport};
pub use server::RaftService;

use quorate_proto::raft::v1 as pb;

use super::Frame;
use crate::takeover::Round;

/// The largest frame: a batch of the largest transactions must fit.
const MAX_FRAME: usize = 64 << 20;

impl From<Frame> for pb::Frame {
    fn from(frame: Frame) -> Self {
        Self {
            history_id: frame.history_id.to_string(),
            from: frame.from,
            start_counter: frame.start_counter,
            format: frame.format,
            method: frame.method,
            body: frame.body,
            to_start: frame.to_start,
            pledge: frame.pledge.map(|round| pb::Round {
                by: round.by,
                start: round.start,
                number: round.number,
            }),
        }
    }
}

impl From<pb::Frame> for Frame {
    fn from(frame: pb::Frame) -> Self {
        Self {
            history_id: frame.history_id.into(),
            from: frame.from,
            start_counter: frame.start_counter,
            format: frame.format,
            method: frame.method,
            body: frame.body,
            to_start: frame.to_start,
            pledge: frame.pledge.map(|round| Round {
                by: round.by,
                start: round.start,
                number: round.number,
            }),
        }
    }
}
