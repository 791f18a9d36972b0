//! What a host is and does, as it reports and as the leader sees it.

use super::condition::Condition;
use super::virtual_machine::Hypervisor;
use crate::scalar::{Duration, Label, MacAddress, Name, Size, Time};
use crate::shape::{keyed, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a host is and does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `RingDegraded`, `FencingReady`, `WatchdogArmed`, `ClockInSync`, `StorageReady`, `NetworkLeaving`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeState>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Granted when it registered; what is known about an older incarnation is not known about this
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// The kernel's boot id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub boot_id: Option<String>,
    /// The newest plan that it has accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_generation: Option<u64>,
    /// The number of the report that brought what the host says here: one with a lower number that arrives later is out of
    /// date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<u64>,
    /// What it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<NodeResources>,
    /// What of it may be promised to guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocatable: Option<NodeResources>,
    /// What is promised to guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated: Option<NodeResources>,
    /// How it is heard on each ring.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["network"]))]
    pub rings: Vec<RingStatus>,
    /// Its network cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["name"]))]
    pub nics: Vec<NicStatus>,
    /// Its watchdog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<WatchdogStatus>,
    /// Whether each fence level would work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["name"]))]
    pub fence_levels: Vec<FenceLevelStatus>,
    /// Its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// The kinds of guests that it can run. None listed: it has not said, and any may be tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = set)]
    pub hypervisors: Vec<Hypervisor>,
}

/// What a host does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum NodeState {
    /// It is becoming part of the cluster.
    Joining,
    /// It is heard and may start things.
    Online,
    /// It is silent on all rings.
    Suspect,
    /// It is being made safe.
    Fencing,
    /// It is confirmed off, or its former incarnation is confirmed dead.
    Fenced,
    /// It left in order and is not fenced.
    Left,
}

/// An amount of what guests need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeResources {
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guests: Option<u32>,
}

/// How a host is heard on one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RingStatus {
    /// The network.
    pub network: Name,
    /// Whether it is heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// How long an answer takes, coarsely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Duration>,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NicStatus {
    /// Its name in the spec.
    pub name: Label,
    /// The kernel's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub device: Option<String>,
    /// Its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Its link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// Its speed, in Mbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<u64>,
}

/// A link's or ring's state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum LinkState {
    /// It works.
    Up,
    /// It works, without redundancy or with losses.
    Degraded,
    /// It does not work.
    Down,
}

/// A host's watchdog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WatchdogStatus {
    /// The device file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub device: Option<String>,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub identity: Option<String>,
    /// Whether it is hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<bool>,
    /// Whether it would fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub armed: Option<bool>,
    /// Whether it is fed only while the lease is fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_bound: Option<bool>,
    /// After how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// Whether a fence level would work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FenceLevelStatus {
    /// The level.
    pub name: Label,
    /// Whether all its devices answered when they were last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_tested: Option<Time>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// A host's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClockStatus {
    /// Whether it follows a time server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronized: Option<bool>,
    /// How far it is from the leader's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub offset: Option<String>,
}

/// What a host runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Versions {
    /// This software.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub quorate: Option<String>,
    /// The kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub kernel: Option<String>,
    /// The replication module.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub drbd: Option<String>,
    /// The virtualisation library.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub libvirt: Option<String>,
    /// The emulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub qemu: Option<String>,
    /// The newest level of formats and features that it supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u32>,
    /// The newest form in which it settles locks of programs with the other hosts of a shared filesystem. None: it refuses them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_locks: Option<u32>,
}
