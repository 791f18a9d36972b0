//! Fencing: the coordinator in stories on simulated time, its rules over random answers of devices, and the real
//! agents of the fence-agents package against devices that run here.

mod agents;
mod rules;
mod scripts;
mod stories;
mod world;
