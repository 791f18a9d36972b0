//! Makes the host match its plan: observe, compare, act, look again.
//!
//! [`Reconciler`] is synchronous and knows no driver: it is told what was seen and what came of acts, and says what to
//! look at and what to do next. Every record has its own work: its next act is decided from the record and the newest
//! observation alone, so that a daemon that was killed at any point simply goes on. Records that do not depend on each
//! other are worked on at the same time; of one record, one act at a time.
//!
//! A record is never answered from memory. Whatever the host says about it, it has seen since the record came and since
//! the last act ended; and what may still take effect by itself is ended first, before anything is said to be released.

mod above;
mod act;
mod answer;
mod guest;
mod mount;
mod network;
mod perform;
mod reconciler;
mod replica;
mod seen;
mod storage;
mod verdict;
mod work;

pub use act::{Act, Job};
pub use perform::{Hands, look};
pub use reconciler::{Reconciler, Right};
pub use seen::{Look, Observation, Seen, Subsystem};
