//! Reaching a cluster: one connection, to whichever of its members answers.
//!
//! Any member answers any call. Who calls knows best when another one may do better, and says so.

mod addresses;
mod dial;
mod unreachable;

pub use addresses::{Addresses, Connection};
pub use dial::{dial, over};
pub use unreachable::{Failure, Unreachable};
