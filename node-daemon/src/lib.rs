//! Makes one host match its plan, and makes no choice of its own.

pub mod drivers;
pub mod link;
pub mod plan;
