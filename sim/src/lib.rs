//! Whole clusters in one process, on simulated time, network, disks and hosts.
//!
//! The code that decides is the product's: store, controller and node daemon. What is simulated is what they stand on. A
//! seed gives one run, with its faults, and a checker looks at the truth behind the cluster's back after every step.

mod agents;
mod beats;
pub mod check;
pub mod executor;
mod host;
pub mod many;
mod member;
pub mod mistakes;
pub mod predict;
mod registry;
pub mod run;
pub mod seeds;
pub mod time;
pub mod world;

/// A number that stands for some bytes in the trace.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
