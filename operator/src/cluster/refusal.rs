//! What a cluster says when it does not do what it was asked.

use quorate_proto::client::{explanation, reason_of};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tonic::Status;

/// Why a call came to nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// The cluster understood and does not do it. The same call succeeds only after something has changed.
    #[error("{message}")]
    Refused {
        /// One word for programs: `Conflict`, `Invalid`, `Forbidden`, …
        reason: String,
        /// For people.
        message: String,
    },
    /// What was asked for is older than the history that the cluster keeps: begin anew.
    #[error("the history does not reach back so far")]
    Expired,
    /// Nobody there at present, or not enough of them. The same call may succeed later.
    #[error("{message}")]
    Unavailable {
        /// Why.
        message: String,
    },
    /// The answer makes no sense. A later version of one of the two may help.
    #[error("the cluster's answer is not JSON")]
    Garbled(#[source] serde_json::Error),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Explanation {
    reason: String,
    message: String,
}

impl CallError {
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable {
            message: message.into(),
        }
    }

    /// Whether there is no such object.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason == "NotFound")
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let explained = explanation(&status)
            .and_then(|bytes| serde_json::from_slice::<Explanation>(&bytes).ok());
        let transport = explained.is_none();
        let Explanation { reason, message } = explained.unwrap_or_else(|| Explanation {
            reason: reason_of(status.code()).to_owned(),
            message: status.message().to_owned(),
        });
        match reason.as_str() {
            "Expired" | "Gone" => Self::Expired,
            "NoQuorum" | "ServiceUnavailable" | "TooManyRequests" | "Timeout" => {
                Self::Unavailable { message }
            }
            // A connection that breaks has no better word for it.
            "InternalError" if transport => Self::Unavailable { message },
            _ => Self::Refused { reason, message },
        }
    }
}

/// An object that a cluster has sent.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, CallError> {
    serde_json::from_slice(bytes).map_err(CallError::Garbled)
}

#[cfg(test)]
mod tests {
    use quorate_proto::client::EXPLANATION;
    use tonic::{
        Code,
        metadata::{MetadataMap, MetadataValue},
    };

    use super::*;

    fn explained(code: Code, body: &str) -> CallError {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(EXPLANATION, MetadataValue::from_bytes(body.as_bytes()));
        Status::with_metadata(code, "short", metadata).into()
    }

    #[test]
    fn what_may_pass_is_told_apart_from_what_somebody_must_change() {
        let no_quorum = r#"{"reason":"NoQuorum","message":"1 of 3 members answer"}"#;
        assert!(matches!(
            explained(Code::Unavailable, no_quorum),
            CallError::Unavailable { message } if message == "1 of 3 members answer"
        ));
        let broken = CallError::from(Status::unknown("transport error"));
        assert!(matches!(broken, CallError::Unavailable { .. }));
        let invalid = r#"{"reason":"Invalid","message":"spec.memory is too small"}"#;
        assert!(matches!(
            explained(Code::FailedPrecondition, invalid),
            CallError::Refused { reason, .. } if reason == "Invalid"
        ));
        let internal = r#"{"reason":"InternalError","message":"a defect"}"#;
        assert!(matches!(
            explained(Code::Internal, internal),
            CallError::Refused { .. }
        ));
        assert!(matches!(
            explained(Code::OutOfRange, r#"{"reason":"Expired"}"#),
            CallError::Expired
        ));
    }
}
