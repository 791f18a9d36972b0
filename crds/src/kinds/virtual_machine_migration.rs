//! One move of a running guest.

use super::condition::Condition;
use super::guest_policy::OnMigrationTimeout;
use crate::scalar::{Duration, Name, Size, Time};
use crate::shape::{keyed, rules};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Move a guest to another host while it runs.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "VirtualMachineMigration",
    plural = "virtualmachinemigrations",
    derive = "PartialEq",
    doc = "Move a guest to another host while it runs.",
    shortname = "vmm",
    status = "VirtualMachineMigrationStatus",
    printcolumn(
        name = "Guest",
        type_ = "string",
        json_path = ".spec.virtualMachine",
        description = "The guest."
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "How far it is."
    ),
    printcolumn(
        name = "From",
        type_ = "string",
        json_path = ".status.source",
        description = "Where it comes from."
    ),
    printcolumn(
        name = "To",
        type_ = "string",
        json_path = ".status.target",
        description = "Where it goes."
    ),
    printcolumn(
        name = "Progress",
        type_ = "string",
        json_path = ".status.progress.percent",
        description = "How much of its memory is there, in percent."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    (
        "self.virtualMachine == oldSelf.virtualMachine && has(self.target) == has(oldSelf.target) \
         && (!has(self.target) || self.target == oldSelf.target)",
        "guest and target of a migration cannot be changed: cancel it and create another",
    )
]))]
pub struct VirtualMachineMigrationSpec {
    /// The guest.
    pub virtual_machine: Name,
    /// Where to. By default the best host that its placement allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// How much it may send in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
    /// How long it may take. By default what the guest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What happens then. By default what the guest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnMigrationTimeout>,
    /// Why it is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub reason: Option<String>,
    /// Give it up, and leave the guest where it is.
    #[serde(default)]
    #[schemars(transform = rules(&[
        ("!oldSelf || self", "a cancelled migration stays cancelled: create another")
    ]))]
    pub cancel: bool,
    /// How long the finished migration is kept.
    #[serde(default = "default_keep_for")]
    pub keep_for: Duration,
}

/// How far a migration is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualMachineMigrationStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Complete`, `StorageInSync`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<MigrationPhase>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How much is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<MigrationProgress>,
    /// Why it failed, as one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// Why it failed, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// How far a migration is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum MigrationPhase {
    /// It waits: for its turn, or for a target.
    Pending,
    /// The target gets its disks, and waits paused.
    Preparing,
    /// Memory is on its way.
    Running,
    /// The source has stopped, the target takes over.
    Switching,
    /// The guest runs at the target.
    Succeeded,
    /// The guest runs where it was.
    Failed,
    /// Somebody gave it up; the guest runs where it was.
    Cancelled,
}

/// How much of a migration is done, coarsely; live figures are streamed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationProgress {
    /// The VirtualMachineMigration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Name>,
    /// How much of the memory is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
    /// All that must be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Size>,
    /// What is yet to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Size>,
    /// How long the guest stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Duration>,
}

fn default_keep_for() -> Duration {
    Duration::from("24h")
}
