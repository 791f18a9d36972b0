//! What a guest does, and why it is where it is.

use super::condition::Condition;
use super::guest_hardware::DisplayProtocol;
use super::virtual_machine_migration::MigrationProgress;
use crate::scalar::{Label, MacAddress, Name, Size, Time};
use crate::shape::{atomic, keyed, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a guest does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualMachineStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Scheduled`, `StorageReady`, `Migratable`, `RestartPending`, `RecoveryExhausted`,
    /// `AgentConnected`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<GuestState>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Where it is to run, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementStatus>,
    /// Rises whenever the right to run it moves to another host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How often it was restarted after failures, within the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<u32>,
    /// Those failures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = atomic)]
    pub failures: Vec<GuestFailure>,
    /// Fields whose new values need a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = set)]
    pub pending_changes: Vec<String>,
    /// The Volumes of its disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["disk"]))]
    pub volumes: Vec<GuestVolume>,
    /// Its network cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["name"]))]
    pub nics: Vec<GuestNicStatus>,
    /// The live migration under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationProgress>,
    /// The annotation `quorate.dev/restart` that was last acted on. Another value there restarts
    /// the guest once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub restarted_for: Option<String>,
    /// What the agent inside says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,
    /// Where its screen is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<DisplayStatus>,
    /// What it has at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<GuestResources>,
}

/// What a guest does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum GuestState {
    /// It waits: for a host, for its storage, for its turn.
    Pending,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It runs, and is being moved.
    Migrating,
    /// It is being stopped.
    Stopping,
    /// It is off, as it should be.
    Stopped,
    /// It is down and not restarted: the condition says why.
    Failed,
    /// Its host is silent.
    Unknown,
}

/// Where a guest is to run, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlacementStatus {
    /// The host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Why, as one word for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A failure of a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestFailure {
    /// When.
    pub at: Time,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// How, as one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// What its host says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// The epoch that it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// The Volume of a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestVolume {
    /// The disk.
    pub disk: Label,
    /// The Volume.
    pub volume: Name,
    /// Whether the guest can use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
}

/// A network card of a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestNicStatus {
    /// The card.
    pub name: Label,
    /// Its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// The host's end of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub device: Option<String>,
}

/// What the agent inside says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStatus {
    /// Whether it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// What the guest calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host_name: Option<String>,
    /// The guest's addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = atomic)]
    pub addresses: Vec<String>,
}

/// Where a screen is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DisplayStatus {
    /// How it is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<DisplayProtocol>,
    /// The port on the guest's host, on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
}

/// What a guest has at present.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GuestResources {
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
}
