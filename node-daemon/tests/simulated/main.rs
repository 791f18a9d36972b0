//! Whole clusters of real processes whose hosts are simulated.

mod agents;
mod cluster;
mod deaths;
mod midway;
