//! The replicated store of Quorate.
//!
//! A store holds opaque values under keys, gives every change a global revision, and shows every
//! change, in order, to whoever watches. It is replicated by Raft; nothing outside this crate sees
//! the consensus library. The store knows no kind: what a value means is the business of its callers.

mod error;
mod key;
mod transaction;

pub use error::{StoreError, WatchError};
pub use key::{Bucket, Key};
pub use transaction::{Condition, Outcome, Refusal, Transaction, Write};

/// The position of a change in the store's one global order. The first change has revision 1.
pub type Revision = u64;

/// Names one member of the cluster for ever; never reused.
pub type MemberId = u64;
