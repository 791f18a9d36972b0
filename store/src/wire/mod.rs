//! The formats that are written to disks and sent between members.
//!
//! All of them are Protocol Buffers messages written out here by hand, so that an upgrade of the
//! consensus library cannot change them. The rules for a change: never reuse a tag; a new field must be
//! safe to ignore; what is not safe to ignore (a new condition, a new command) is a new variant, is
//! refused by software that does not know it, and is proposed only from the feature level on that all
//! members understand it.

mod command;
mod message;
mod raft;

pub(crate) use command::{
    check_transaction, decode_command, encode_command, encode_transaction, encode_transactions,
};
pub(crate) use message::*;
pub(crate) use raft::*;

use thiserror::Error;

/// Bytes that are not what they should be, or that only newer software understands.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("bytes that are no message of this kind: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("{what} is of a kind that only newer software understands; upgrade this member")]
    Unknown { what: &'static str },
}

impl From<WireError> for std::io::Error {
    fn from(error: WireError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}
