//! The command line as people use it: the real program against a real member, which it founded itself.
//!
//! Each story is a sequence of commands with what they print and how they end.

mod changing;
mod cluster;
mod declaring;
mod following;
mod looking;
mod support;
