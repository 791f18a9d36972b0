//! The rules, asserted against the truth.

mod commits;
mod committed;
mod judge;
mod ledger;
mod truths;

pub(crate) use committed::Committed;
pub(crate) use judge::{Judge, Leader};
pub(crate) use ledger::Ledger;
