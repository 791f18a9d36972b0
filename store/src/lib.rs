//! The replicated store of Quorate.
//!
//! A store holds opaque values under keys, gives every change a global revision, and shows every
//! change, in order, to whoever watches. It is replicated by Raft; nothing outside this crate sees
//! the consensus library. The store knows no kind: what a value means is the business of its callers.

mod config;
pub mod disk;
mod error;
mod key;
pub mod log;
mod member_file;
pub mod mistake;
mod raft;
mod rt;
mod salvage;
mod shots;
mod snapshot;
mod start;
mod state;
mod status;
mod store;
mod stored;
pub mod takeover;
mod transaction;
pub mod transport;
mod wire;

pub use config::{DiskWork, Genesis, Grant, Member, StoreConfig};
pub use error::{StoreError, WatchError};
pub use key::{Bucket, Key};
pub use rt::WallClock;
pub use salvage::{NewHistory, Salvage};
pub use state::{HistoryLimits, View, Watch, WatchScope};
pub use status::{Leadership, MemberStatus, Role, StoreStatus};
pub use store::Store;
pub use stored::{Change, Stored};
pub use transaction::{Condition, Outcome, Refusal, Transaction, Write};

/// The position of a change in the store's one global order. The first change has revision 1.
pub type Revision = u64;

/// Names one member of the cluster for ever; never reused.
pub type MemberId = u64;
