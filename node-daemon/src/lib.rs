//! Makes one host match its plan, and makes no choice of its own.

pub mod daemon;
pub mod drivers;
pub mod handler;
pub mod lease;
pub mod link;
pub mod locks;
pub mod mistake;
pub mod node;
pub mod plan;
pub mod reconcile;
#[cfg(feature = "simulated")]
pub mod simulated;
