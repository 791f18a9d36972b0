//! The kinds, one file each; long ones keep their status in a file of its own.
//!
//! `spec` is what people want and no daemon ever writes it; `status` is what is so, and what the
//! planner has decided. Everything that the planner chooses, from placement to port numbers, is
//! therefore status, so that a Git repository may own every spec.

mod condition;
mod event;
mod role;
mod role_binding;
mod secret;

pub use condition::*;
pub use event::*;
pub use role::*;
pub use role_binding::*;
pub use secret::*;
