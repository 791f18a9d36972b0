//! The driver of guests against a real libvirt with a real QEMU, and two of them for what moves.

mod certificates;
mod consoles;
mod hosts;
mod lives;
mod moves;
