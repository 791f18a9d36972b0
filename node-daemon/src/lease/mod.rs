//! The host's lease: heartbeats to the members, the right to activate anything, and the watchdog.
//!
//! A host that is busy, or swaps, must not look dead, and one that is cut off must know it by itself. So this runs in a
//! process of its own, `quorate-lease`, whose loop neither allocates nor touches a disk; it outlives restarts and upgrades
//! of the daemon. What it decides is decided by two plain structs: [`Keeper`] for the lease, [`WatchdogRules`] for the
//! watchdog. [`Heart`] puts them together, and the same loop beats in the product and in the simulation.

mod channel;
mod client;
mod clock;
mod device;
mod heart;
mod keeper;
mod message;
pub mod process;
mod setup;
mod watchdog;

pub use channel::{LeaseChannel, LeaseEnd};
pub use client::carry;
pub use clock::{BootClock, SystemBootClock};
pub use device::{DeviceWatchdog, NoWatchdog, find_watchdog};
pub use heart::{Command, Heart, Wire, beat};
pub use keeper::{Keeper, LeaseView};
pub use setup::{Rings, Setup, WatchdogPolicy};
pub use watchdog::{WatchdogAct, WatchdogRules};

use tokio::sync::watch;

/// The lease, as the daemon reaches it.
pub trait Lease: Send + Sync {
    /// From now on it beats for this incarnation, to these members, and treats the watchdog so.
    fn set_up(&self, setup: &Setup);

    /// The daemon's loops advance.
    fn alive(&self);

    /// The daemon stops in order, and is about to be started again.
    fn closing(&self);

    /// The lease as it is, and every change.
    fn view(&self) -> watch::Receiver<LeaseView>;
}
