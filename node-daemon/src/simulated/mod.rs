//! The simulated host: a room full of machines that do not exist, and the drivers for them.
//!
//! For the simulation and for `quorated dev` only. The program that is installed on hosts is built without it.

pub mod room;
