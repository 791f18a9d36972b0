use quorate_proto::heartbeat::KEY_LENGTH;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Where one member is reached, one address per ring; an empty one: not on that ring.
pub type Rings = Vec<String>;

/// What the daemon tells the lease process after it has registered. It is kept in /run, readable by root alone, so that
/// a lease process that is started again beats on without waiting for the daemon.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// The boot that it is for.
    pub boot_id: String,
    /// The host.
    pub node: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// Authenticates its heartbeats.
    pub key: [u8; KEY_LENGTH],
    /// The members.
    pub members: Vec<Rings>,
    /// How often it beats on each ring.
    pub interval: Duration,
    /// For how long the daemon may be silent before it counts as stuck.
    pub daemon_patience: Duration,
    /// For how long it may take to come back when it was closed, or was killed.
    pub restart_grace: Duration,
    /// How the watchdog is treated.
    pub watchdog: WatchdogPolicy,
}

impl fmt::Debug for Setup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Setup")
            .field("node", &self.node)
            .field("incarnation", &self.incarnation)
            .field("members", &self.members)
            .field("interval", &self.interval)
            .field("watchdog", &self.watchdog)
            .finish_non_exhaustive()
    }
}

/// How the watchdog is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchdogPolicy {
    /// The host carries protected work, so that it is armed.
    pub armed: bool,
    /// The host is made safe by it: it is fed only while the lease is fresh.
    pub bound_to_lease: bool,
    /// After how long it fires.
    pub timeout: Duration,
}
