//! The operator: brings Quorate's kinds into a Kubernetes cluster.
//!
//! Objects of our kinds in Kubernetes are mirrored into the clusters that they name, and what those report about them is
//! mirrored back. [`sync`] decides, without any I/O, what is to be done about one object; [`cluster`] speaks to the members of
//! a Quorate cluster; [`kubernetes`] watches both sides, takes the steps that were decided, and sees to it that one replica of
//! several works at a time.

pub mod cluster;
pub mod config;
pub mod health;
pub mod kubernetes;
pub mod metrics;
mod operator;
pub mod serve;
pub mod sync;

pub use operator::Operator;
