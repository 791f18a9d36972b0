//! What the host is.

use super::{Doing, Hints};
use quorate_crds::{ClockStatus, Condition, Hypervisor, NicStatus, NodeResources, Versions};
use serde::{Deserialize, Serialize};

/// The part of a Node's status that hosts write. Its JSON is `facts` in the hosts' protocol; what is `None` is not
/// known, and stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostFacts {
    /// What it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<NodeResources>,
    /// What of it may be promised to guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocatable: Option<NodeResources>,
    /// Its network cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicStatus>,
    /// Its watchdog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<quorate_crds::WatchdogStatus>,
    /// Its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// The kinds of guests that it can run; none when that is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hypervisors: Vec<Hypervisor>,
    /// `WatchdogArmed`, `ClockInSync`, `StorageReady`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What the host is.
pub trait Facts: Send + Sync {
    /// The kernel's boot id: another one means that nothing of before runs any more.
    fn boot_id(&self) -> Doing<'_, String>;

    /// Everything but the watchdog, which the lease process knows, and without what moves all the time. The conditions
    /// say which subsystems this host has, and why others are missing.
    fn observe(&self) -> Doing<'_, HostFacts>;

    /// Cards that come and go, a clock that loses its server.
    fn watch(&self) -> Hints;
}
