//! openraft, wrapped: see docs/adr/0002 for why this version and what is relied upon.

pub(crate) mod around;
pub(crate) mod barrier;
pub(crate) mod change;
pub(crate) mod core;
pub(crate) mod housekeeping;
pub(crate) mod link;
mod log_store;
mod machine;
mod network;
pub(crate) mod part;
pub(crate) mod proposer;
mod receive;
pub(crate) mod returning;
pub(crate) mod succession;
pub(crate) mod takeover;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use log_store::{LogStore, each_from};
pub(crate) use machine::{Machine, apply_unasked};
pub(crate) use network::Networks;
pub(crate) use receive::Receiver;
pub(crate) use types::*;
