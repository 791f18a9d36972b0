//! The way from a person to the console of a guest.
//!
//! No member can call a host: hosts have no port of ours open. So every host waits at every member, and is told by it that
//! somebody wants in; then it opens a call of its own to the same member, and the two are joined here. Members do not pass visitors
//! on to each other: a member at which the host does not wait says so, and the next one is asked.

mod hosts;
mod people;
mod reception;

pub use hosts::VisitsService;
pub use people::ConsolesService;
pub use reception::Reception;
