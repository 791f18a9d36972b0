use super::Trouble;
use std::error::Error;
use thiserror::Error;

/// What lies behind an error.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why an act or an observation failed. The variant says what the daemon may do next.
#[derive(Debug, Error)]
pub enum DriverError {
    /// Nothing was changed, and the same may succeed later: it is tried again, with back-off.
    #[error("{message}")]
    Passing {
        /// As one word.
        trouble: Trouble,
        /// What was found, what is allowed and what to do next.
        message: String,
        /// What lies behind it.
        #[source]
        source: Option<Source>,
    },
    /// Nothing was changed, and the same will not succeed until the plan or the host changes. It is still tried again,
    /// slowly.
    #[error("{message}")]
    Lasting {
        /// As one word.
        trouble: Trouble,
        /// What was found, what is allowed and what to do next.
        message: String,
        /// What lies behind it.
        #[source]
        source: Option<Source>,
    },
    /// Nobody knows whether it took effect, or will still do so: nothing is said to be released, and nothing is tried,
    /// before an observation has shown how it is.
    #[error("{message}")]
    Unclear {
        /// As one word.
        trouble: Trouble,
        /// What was found, what is allowed and what to do next.
        message: String,
        /// What lies behind it.
        #[source]
        source: Option<Source>,
    },
}

impl DriverError {
    /// A failure that may pass.
    pub fn passing(trouble: Trouble, message: impl Into<String>) -> Self {
        Self::Passing {
            trouble,
            message: message.into(),
            source: None,
        }
    }

    /// A failure that lasts.
    pub fn lasting(trouble: Trouble, message: impl Into<String>) -> Self {
        Self::Lasting {
            trouble,
            message: message.into(),
            source: None,
        }
    }

    /// A failure whose effect nobody knows.
    pub fn unclear(trouble: Trouble, message: impl Into<String>) -> Self {
        Self::Unclear {
            trouble,
            message: message.into(),
            source: None,
        }
    }

    /// The same with what lies behind it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Source>) -> Self {
        match &mut self {
            Self::Passing { source, .. }
            | Self::Lasting { source, .. }
            | Self::Unclear { source, .. } => {
                *source = Some(cause.into());
            }
        }
        self
    }

    /// As one word.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Passing { trouble, .. }
            | Self::Lasting { trouble, .. }
            | Self::Unclear { trouble, .. } => *trouble,
        }
    }
}
