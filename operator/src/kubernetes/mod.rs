//! The side of Kubernetes: what is watched and written there, and who of the replicas does it.

mod clusters;
mod credentials;
mod events;
mod failure;
mod index;
mod leading;
mod lease;
mod memory;
mod mirror;
mod secrets;
mod steps;
mod watching;

pub use events::NAMESPACE as EVENTS_NAMESPACE;
pub use lease::{LEASE, Times};

pub(crate) use leading::Leading;
pub(crate) use lease::Election;
