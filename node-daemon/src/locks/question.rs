use super::{InTheWay, Range, Wish};
use serde::{Deserialize, Serialize};

/// What the kernel of this host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// A lock.
    Lock {
        /// Which.
        wish: Wish,
        /// Until it is free.
        wait: bool,
    },
    /// Which lock is in the way of this one?
    Get {
        /// Which.
        wish: Wish,
    },
    /// No lock any more.
    Unlock {
        /// The file.
        file: u64,
        /// The holder.
        token: u64,
        /// Where.
        range: Range,
        /// The process that waits for the answer.
        pid: u32,
    },
    /// The holder has closed the file. It has no lock any more, it waits for none, and nobody waits for an answer. Kernels before
    /// 6.6 say with it that a waiting process was killed; later ones have the same version.
    Close {
        /// The file.
        file: u64,
        /// The holder.
        token: u64,
    },
    /// What a former daemon was asked, and could not note any more. Nobody knows what it was.
    Lost {
        /// The process that waits for the answer.
        process: u32,
    },
    /// A signal came: this request, which waits, is over.
    Cancel {
        /// The lock that it is for.
        wish: Wish,
    },
}

impl Question {
    /// Whether somebody waits in the kernel for its answer.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        !matches!(self, Self::Close { .. })
    }

    /// The process that waits for its answer.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        match self {
            Self::Lock { wish, .. } | Self::Get { wish } | Self::Cancel { wish } => {
                Some(wish.part.pid)
            }
            Self::Unlock { pid, .. } | Self::Lost { process: pid } => Some(*pid),
            Self::Close { .. } => None,
        }
    }

    /// Whether its answer may overtake others. The kernel takes the answers to all else of one filesystem in the order in
    /// which it asked.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self, Self::Lock { wait: true, .. })
    }
}

/// What the kernel is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done: the lock is held, or not any more, or waits no more.
    Done,
    /// Another one's lock is in the way (EAGAIN).
    Busy,
    /// What is in the way of a lock.
    Found(Option<InTheWay>),
    /// It ends without the lock (EINTR).
    Ended,
    /// No request like this one waits (ENOENT).
    NoSuch,
    /// The hosts could not agree in time (ENOLCK).
    NoAgreement,
    /// There are no such locks on this filesystem at present (EOPNOTSUPP).
    NotSupported,
    /// None: the kernel waits for it no more.
    Nothing,
}
