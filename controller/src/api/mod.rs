//! The gRPC services and what stands in front of them.

mod cluster;
mod front;
mod limits;
mod objects;

pub use cluster::Cluster;
pub use front::Front;
pub(crate) use front::{Call, WriteGate};
pub(crate) use limits::Weight;
pub use limits::{Admittance, CallLimits, Permit};
pub use objects::Objects;
