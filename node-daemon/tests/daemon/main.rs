//! The whole daemon against a simulated machine and a cluster of one sentence, on paused time.

mod cluster;
mod host;
mod plans;
mod stories;
mod visits;
