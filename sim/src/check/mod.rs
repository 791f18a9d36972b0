//! The rules, asserted against the truth.

mod ledger;

pub(crate) use ledger::Ledger;
