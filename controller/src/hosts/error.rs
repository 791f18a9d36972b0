use quorate_proto::host::v1::MemberAddress;
use quorate_store::StoreError;
use thiserror::Error;

use crate::error::ApiError;

/// Why a host was not answered as it asked.
#[derive(Debug, Error)]
pub enum DeskError {
    /// Another member leads, or none: ask there. Nothing was done.
    #[error("{}", whom(leader.as_ref()))]
    NotLeader {
        /// Who leads, if it is known.
        leader: Option<MemberAddress>,
    },
    /// The host may not have what it asks for.
    #[error("{reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
        /// Whether the same may be granted later without a person having done something.
        retry: bool,
    },
    /// This boot of the host counts no more. It must boot, or register, again.
    #[error("{reason}")]
    IncarnationOver {
        /// Which one counts instead.
        reason: String,
    },
    /// There is no quorum, or the outcome is not known. Asking again is harmless and may help.
    #[error("the cluster does not answer at present; ask again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DeskError {
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
            retry: false,
        }
    }

    pub(super) fn not_now(reason: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
            retry: true,
        }
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<ApiError> for DeskError {
    fn from(error: ApiError) -> Self {
        Self::Unavailable(error.into())
    }
}

fn whom(leader: Option<&MemberAddress>) -> String {
    match leader {
        Some(leader) => format!("member {} leads; ask it", leader.name),
        None => "no member leads at present; ask again".to_owned(),
    }
}
