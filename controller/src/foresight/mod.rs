//! Looking ahead and telling why: the planner, asked by a person instead of the leader.
//!
//! Any member answers, from its own state: a forecast is the planner run on a copy of it, and a reason is what the
//! planner says about it now. Nothing is written, so nothing has to go to the leader.

mod present;
mod service;
mod votes;
mod why;

pub use service::Planning;
