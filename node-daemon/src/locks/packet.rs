use super::{InTheWay, Range, Wish};
use serde::{Deserialize, Serialize};

/// No packet has more items or outcomes. In tests they are many packets soon.
pub(super) const MOST: usize = if cfg!(test) { 2 } else { 256 };

/// A packet as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The number of the filesystem that it is about.
    pub filesystem: u32,
    /// What is said.
    pub packet: Packet,
}

impl Envelope {
    /// As bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// What two hosts say to each other about the locks of one filesystem. Any of it may be lost, late or doubled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// The generation of the lockspace. What is said in another one than the receiver's counts for nothing.
    pub generation: u64,
    /// What.
    pub word: Word,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// A host would like to know which life of the arbiter it talks to.
    Hello,
    /// The arbiter says which one, and asks for everything that the host has.
    Welcome {
        /// The life of the arbiter: each has a higher number than the one before.
        arbiter: u64,
    },
    /// What a host has to say, in order.
    Items {
        /// The session.
        session: Session,
        /// The place of the first of them.
        first: u64,
        /// What.
        items: Vec<Item>,
    },
    /// What the arbiter has to say, in any order.
    Outcomes {
        /// The session.
        session: Session,
        /// It has heard all items before this place.
        heard: u64,
        /// What became of requests, by their numbers.
        outcomes: Vec<(u64, Outcome)>,
    },
}

/// One talk of a host with the arbiter. It begins with everything that the host has, and is over when either of them
/// is another one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Session {
    /// The life of the arbiter.
    pub arbiter: u64,
    /// The life of the host.
    pub life: u64,
    /// Which one of that life.
    pub count: u64,
}

/// One thing that a host says. The arbiter hears them in the order in which they are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// One of the locks that the host has.
    Has(Wish),
    /// Those were all.
    Whole,
    /// May it have this one?
    Lock {
        /// The number of the request.
        number: u64,
        /// The lock.
        wish: Wish,
        /// Whether it waits.
        wait: bool,
    },
    /// What is in the way of this one?
    Get {
        /// The number of the request.
        number: u64,
        /// The lock.
        wish: Wish,
    },
    /// What was offered is held.
    Taken(u64),
    /// The request is over, whatever became of it.
    Over(u64),
    /// A holder has let go.
    Released {
        /// The file.
        file: u64,
        /// The holder.
        token: u64,
        /// What.
        range: Range,
    },
}

/// What the arbiter says of a request. It says so until the host has said `Taken` or `Over`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The lock may be taken.
    Offered,
    /// Something is in the way, and it was not to wait.
    Busy,
    /// What is in the way.
    Found(Option<InTheWay>),
}
