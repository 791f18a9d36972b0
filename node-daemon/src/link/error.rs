use std::error::Error;
use thiserror::Error;

/// Why the cluster gave no answer, or refused.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No member answered, or none knows a leader. It is tried again; whether the request took effect is unknown, and
    /// repeating it is harmless.
    #[error("{message}")]
    Unreachable {
        /// Who was tried, and what is tried next.
        message: String,
        /// What lies behind it.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The leader refuses for now: the same may be granted later.
    #[error("{message}")]
    NotNow {
        /// Why, and what has to happen.
        message: String,
    },
    /// The leader refuses, and asking again does not help before a person has done something.
    #[error("{message}")]
    Refused {
        /// Why, and what to do.
        message: String,
    },
    /// This incarnation of the host is over: it was confirmed dead, or a later one has registered. It starts and reports
    /// nothing more until the host has booted again.
    #[error("{message}")]
    IncarnationOver {
        /// Which one is known instead.
        message: String,
    },
}

impl LinkError {
    /// Nobody answered.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::Unreachable {
            message: message.into(),
            source: None,
        }
    }
}
