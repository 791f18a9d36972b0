//! The watchdog: hardware that resets the host unless it is fed.
//!
//! It belongs to the lease process, on whose thread nothing may wait; that is why this trait alone is synchronous.

use std::io;
use std::time::Duration;

/// A watchdog of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogFound {
    /// The device file.
    pub device: String,
    /// What it calls itself.
    pub identity: String,
    /// Whether it is hardware: one in software does not fire when the kernel hangs.
    pub hardware: bool,
}

/// A watchdog.
pub trait Watchdog: Send {
    /// Which it is.
    fn found(&self) -> &WatchdogFound;

    /// From now on it fires when it is not fed for `timeout`. Returns the time-out that the device took, which may be
    /// rounded. Armed already, it takes the new time-out.
    fn arm(&mut self, timeout: Duration) -> io::Result<Duration>;

    /// Feeds it. Never waits and never allocates.
    fn feed(&mut self) -> io::Result<()>;

    /// Stops it, where the device allows that; where it does not (`nowayout`), it must be fed on.
    fn disarm(&mut self) -> io::Result<()>;
}
