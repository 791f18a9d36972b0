//! One attempt to make a host safe, with its evidence. It is the record on which recovery rests.

use super::condition::Condition;
use super::fence_device::PowerState;
use crate::scalar::{Label, Name, Time};
use crate::shape::{keyed, rules};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Make a host safe, or test what would. Written once, by a person or by the leader; never changed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "FenceOperation",
    plural = "fenceoperations",
    derive = "PartialEq",
    doc = "Make a host safe, or test what would. Written once, by a person or by the leader; \
           never changed.",
    shortname = "fo",
    status = "FenceOperationStatus",
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".spec.node",
        description = "The host."
    ),
    printcolumn(
        name = "Action",
        type_ = "string",
        json_path = ".spec.action",
        description = "What is done."
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "How far it is."
    ),
    printcolumn(
        name = "Level",
        type_ = "string",
        json_path = ".status.level",
        description = "The level at work."
    ),
    printcolumn(
        name = "Attempts",
        type_ = "integer",
        json_path = ".status.attempts",
        description = "How many levels were tried."
    ),
    printcolumn(
        name = "Evidence",
        type_ = "string",
        json_path = ".status.evidence.kind",
        description = "What proves that the host is off."
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
    ("self == oldSelf", "a FenceOperation is a record and cannot be changed: create another"),
    (
        "self.action != 'Confirm' || has(self.confirmation)",
        "action is Confirm: say in confirmation who looked and what was seen",
    ),
    ("self.action != 'TestDevice' || has(self.device)", "action is TestDevice: name the device")
]))]
pub struct FenceOperationSpec {
    /// The host.
    pub node: Name,
    /// The incarnation that is meant. None given: the present one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// What is done.
    #[serde(default)]
    pub action: FenceAction,
    /// Only this level, for tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Label>,
    /// Only this device, for tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Name>,
    /// What a person confirms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// Why.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub requested_by: Option<String>,
}

/// What is done to a host.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum FenceAction {
    /// Switch it off, and see that it is off.
    #[default]
    PowerOff,
    /// Switch it off, see that it is off, and switch it on again.
    PowerCycle,
    /// Ask all devices of the level, and change nothing.
    TestLevel,
    /// Ask one device, and change nothing.
    TestDevice,
    /// Believe a person who has seen that it is off.
    Confirm,
}

/// What a person confirms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// Who looked.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// What was seen: `unplugged both power cords`.
    #[schemars(length(min = 1, max = 1024))]
    pub statement: String,
}

/// How far it is, and what proves the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FenceOperationStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Complete`, `Blocked`, `Voided`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<FencePhase>,
    /// The incarnation that is made safe, once it is settled which one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The level at work, or the one that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub level: Option<String>,
    /// How many levels were tried, over all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When the next round begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// What each device last said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["level", "device", "plug"]))]
    pub results: Vec<DeviceResult>,
    /// What proves that the host is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// When the evidence was contradicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voided_at: Option<Time>,
    /// By what.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub void_reason: Option<String>,
    /// When power was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub powered_on_at: Option<Time>,
}

/// How far an operation is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum FencePhase {
    /// It waits for its turn, or for the head start of another.
    Pending,
    /// A level is at work.
    Running,
    /// Every level has failed; it is tried again, for ever.
    Blocked,
    /// The host is confirmed off, or the test passed.
    Succeeded,
    /// The test failed.
    Failed,
    /// It succeeded, and the host was heard afterwards.
    Voided,
}

/// What a device said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceResult {
    /// The level.
    pub level: Label,
    /// The device.
    pub device: Name,
    /// The outlet or machine on it.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub plug: String,
    /// What it said when it was asked after the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The member that asked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_on: Option<Name>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What proves that a host is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What sort of proof it is.
    pub kind: EvidenceKind,
    /// The incarnation that it is about.
    pub incarnation: u64,
    /// When it was complete.
    pub at: Time,
    /// The leader's term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The level that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub level: Option<String>,
    /// When the watchdog must have fired, with the margin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watchdog_expired_at: Option<Time>,
    /// The person who confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub confirmed_by: Option<String>,
}

/// What sort of proof it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum EvidenceKind {
    /// Every device of one level said off, asked after the action.
    Devices,
    /// The watchdog's time has surely passed since the last lease.
    Watchdog,
    /// A person confirmed it by name.
    Person,
    /// The same host registered a new boot, by its key.
    NewBoot,
}
