//! The rules, asserted against the truth.

mod commits;
mod committed;
mod endings;
mod failover;
mod judge;
mod late;
mod ledger;
mod lockspaces;
mod losses;
mod openings;
mod starts;
mod truths;

pub(crate) use committed::Committed;
pub use failover::Failover;
pub(crate) use judge::{Judge, Leader, Told};
pub(crate) use ledger::Ledger;
