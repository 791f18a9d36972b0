//! What the cluster wants of this host: which plans are accepted, and when one may be acted on.
//!
//! A plan travels over members that may lag, over connections that may be old, to a daemon that may have been restarted.
//! Whatever arrives, the host never goes back: it remembers the newest generation and term that it has seen before it
//! acknowledges them, and refuses what is older.

mod acceptance;
mod memory;

pub use acceptance::{Accepted, Plan, PlanError, Record};
pub use memory::{FileMemory, Memory, MemoryError, Remembered};
