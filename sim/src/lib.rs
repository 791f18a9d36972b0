//! Whole clusters in one process, on simulated time, network, disks and hosts.
//!
//! The code that decides is the product's: store, controller and node daemon. What is simulated is what they stand on. A
//! seed gives one run, with its faults, and a checker looks at the truth behind the cluster's back after every step.

mod check;
pub mod executor;
mod member;
pub mod run;
pub mod time;
pub mod world;
