//! What can go wrong between a command and the cluster, the advice that belongs to it and the exit
//! code that scripts see.

use std::{io, path::PathBuf};

use quorate_client::Unreachable;

use crate::client::{Refusal, advice};

/// How a process may end. `quorate help exit-codes` prints this list.
pub(crate) mod exit {
    /// Done.
    pub(crate) const DONE: u8 = 0;
    /// The answer is no: `diff` found differences, `auth can-i` says no, `plan` leaves something down, what was
    /// waited for failed.
    pub(crate) const NO: u8 = 1;
    /// The command line or a manifest is wrong; nothing was sent.
    pub(crate) const USAGE: u8 = 2;
    /// The cluster refused: invalid, forbidden, expired, too many requests.
    pub(crate) const REFUSED: u8 = 3;
    /// No such object.
    pub(crate) const NOT_FOUND: u8 = 4;
    /// Somebody else owns a field, or the object changed or exists already.
    pub(crate) const CONFLICT: u8 = 5;
    /// No member answered, or the cluster has no quorum.
    pub(crate) const UNAVAILABLE: u8 = 6;
    /// The time ran out before what was waited for happened.
    pub(crate) const TIMED_OUT: u8 = 7;
    /// A file could not be read or written, or a program could not be started.
    pub(crate) const LOCAL: u8 = 8;
    /// Somebody stopped waiting; the cluster goes on.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The arguments or the manifest cannot be meant like this. A retry changes nothing.
    #[error("{0}")]
    Usage(String),
    /// The cluster answered, and the answer is a refusal.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No member answered. A retry makes sense.
    #[error("{0}")]
    Unreachable(#[from] Unreachable),
    /// What was waited for has not happened. A retry waits again.
    #[error("{0}")]
    TimedOut(String),
    /// A file or a program on this machine.
    #[error("{doing}")]
    Local {
        /// What was being done, with the path.
        doing: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Something local that has its own explanation.
    #[error("{0}")]
    Broken(String),
    /// The cluster did what it could, and it did not come out as wished. A retry helps once the reason is gone.
    #[error("{0}")]
    Outcome(String),
    /// Somebody stopped waiting. The cluster goes on.
    #[error("no longer waiting: {0}")]
    Interrupted(String),
    /// A question was answered with no; the answer has been printed.
    #[error("no")]
    No,
    /// Each error has been printed already; this carries the exit code of the first.
    #[error("{failed} of {total} failed")]
    Several {
        /// How many failed.
        failed: usize,
        /// Out of how many.
        total: usize,
        /// The exit code of the first one.
        code: u8,
    },
    /// Whoever read our output has gone, as `head` does. Not an error for anybody.
    #[error("output closed")]
    OutputClosed,
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl CliError {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// An operating system error while doing something with a file.
    pub(crate) fn file(doing: &str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::Local {
            doing: format!("cannot {doing} {}", path.display()),
            source,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Refused(refusal) => refusal.exit_code(),
            Self::Unreachable(_) => exit::UNAVAILABLE,
            Self::TimedOut(_) => exit::TIMED_OUT,
            Self::Local { .. } | Self::Broken(_) => exit::LOCAL,
            Self::No | Self::Outcome(_) => exit::NO,
            Self::Interrupted(_) => exit::INTERRUPTED,
            Self::Several { code, .. } => *code,
            Self::OutputClosed => exit::DONE,
        }
    }

    /// What to do next, where the message does not say it already.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.advice(),
            Self::Unreachable(unreachable) => Some(advice(unreachable)),
            _ => None,
        }
    }

    /// The lines below the message: causes, addresses tried.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Refused(refusal) => refusal.detail_lines(),
            Self::Unreachable(unreachable) => unreachable.detail_lines(),
            Self::Local { source, .. } => vec![source.to_string()],
            _ => Vec::new(),
        }
    }

    /// Whether everything worth saying has been said.
    pub(crate) fn is_silent(&self) -> bool {
        let one_of_one = matches!(self, Self::Several { total: 1, .. });
        one_of_one || matches!(self, Self::No | Self::OutputClosed)
    }
}
