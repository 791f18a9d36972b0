//! The simulated host: a room full of machines that do not exist, and the drivers for them.
//!
//! For the simulation and for `quorated dev` only. The program that is installed on hosts is built without it.

mod drivers;
mod handle;
mod manifests;
pub mod room;
mod socket;

pub use drivers::{RoomWatchdog, drivers};
pub use handle::{LocalRoom, Room};
pub use manifests::layout_of;
pub use socket::{SocketRoom, serve};
