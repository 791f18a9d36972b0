//! Stories of the leader: what it notices, what it decides, and what it leaves alone.
//!
//! Everything but the wires and the machines is the product's: store, engine, detector, planner, fencing, desk. Time is
//! the runtime's and paused, so that minutes pass in a moment and nothing depends on how busy this machine is.

mod alone;
mod following;
mod halves;
mod leaders;
mod peers;
mod presence;
mod quiet;
mod recovery;
mod registering;
mod support;
