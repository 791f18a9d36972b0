//! What one host must make so. Only the planner writes it.

use super::condition::{Condition, ObjectReference, SecretKey};
use super::virtual_machine::DesiredState;
use super::volume_status::ReplicaRole;
use crate::scalar::{AbsolutePath, IpAddress, Label, Name, Size};
use crate::shape::{atomic, keyed, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One record of a host's plan. The record that is named like the host is the plan's head; every
/// other one assigns one object, so that a change of one guest costs one guest's bytes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "NodePlan",
    plural = "nodeplans",
    derive = "PartialEq",
    doc = "One record of a host's plan. The record that is named like the host is the plan's \
           head; every other one assigns one object, so that a change of one guest costs one \
           guest's bytes.",
    status = "NodePlanStatus",
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".spec.node",
        description = "The host."
    ),
    printcolumn(
        name = "Generation",
        type_ = "integer",
        json_path = ".spec.planGeneration",
        description = "The generation of the plan."
    ),
    printcolumn(
        name = "Object",
        type_ = "string",
        json_path = ".spec.assignment.object.name",
        description = "What is assigned."
    ),
    printcolumn(
        name = "Active",
        type_ = "boolean",
        json_path = ".spec.assignment.active",
        description = "Whether it is to be active."
    ),
    printcolumn(
        name = "Observed",
        type_ = "integer",
        json_path = ".status.observedPlanGeneration",
        description = "The generation that the host has made so."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct NodePlanSpec {
    /// The host.
    #[schemars(transform = rules(&[
        ("self == oldSelf", "a record stays with its host: delete it and create another")
    ]))]
    pub node: Name,
    /// The incarnation that may act on it.
    pub incarnation: u64,
    /// The term of the leader that planned it.
    pub term: u64,
    /// The generation in which this record last changed; in the head, the newest of all.
    pub plan_generation: u64,
    /// In the head: records of older generations no longer give the right to activate anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_valid_generation: Option<u64>,
    /// In the head: how many other records there are, so that a host knows when it has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
    /// What is assigned. The head has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
}

/// One object on one host, with everything decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    (
        "(has(self.network) ? 1 : 0) + (has(self.storage) ? 1 : 0) + (has(self.replica) ? 1 : 0) \
         + (has(self.mount) ? 1 : 0) + (has(self.guest) ? 1 : 0) <= 1",
        "an assignment is about one of network, storage, replica, mount and guest",
    )
]))]
pub struct Assignment {
    /// The object.
    pub object: ObjectReference,
    /// The generation of its spec that was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub object_generation: Option<i64>,
    /// The epoch under which it may be active.
    pub epoch: u64,
    /// Whether it is to be active here. Otherwise it is to be stopped and released.
    pub active: bool,
    /// What must be so on this host before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = atomic)]
    pub after: Vec<ObjectReference>,
    /// A network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkAssignment>,
    /// A host's part of a pool, or a logical volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageAssignment>,
    /// A replica of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaAssignment>,
    /// A mounted filesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountAssignment>,
    /// A guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestAssignment>,
    /// The secrets that it needs; the host may read these and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["secret", "key"]))]
    pub secrets: Vec<SecretKey>,
}

/// A network on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAssignment {
    /// The topmost interface.
    #[schemars(length(min = 1, max = 15))]
    pub device: String,
    /// Its address with the length of the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49))]
    pub address: Option<String>,
    /// The cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = atomic)]
    pub nics: Vec<Label>,
}

/// A host's part of a pool, or a logical volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageAssignment {
    /// The volume group.
    #[schemars(length(min = 1, max = 127))]
    pub volume_group: String,
    /// The logical volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    pub logical_volume: Option<String>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// A replica of a volume on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaAssignment {
    /// The device's minor number.
    pub minor: u32,
    /// The TCP port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u32,
    /// The replica's number.
    pub node_id: u32,
    /// The logical volume.
    pub backing_device: AbsolutePath,
    /// How large it is.
    pub size: Size,
    /// Whether it is to be open for writing.
    pub role: ReplicaRole,
    /// Whether another may be too.
    pub allow_two_primaries: bool,
    /// The other replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["node"]))]
    pub peers: Vec<ReplicaPeer>,
}

/// Another replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaPeer {
    /// Its host.
    pub node: Name,
    /// Its number.
    pub node_id: u32,
    /// Where it is reached, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = atomic)]
    pub addresses: Vec<IpAddress>,
}

/// A mounted filesystem on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountAssignment {
    /// The device.
    pub device: AbsolutePath,
    /// Its type.
    #[schemars(length(min = 1, max = 15))]
    pub filesystem: String,
    /// Where.
    pub mount_point: AbsolutePath,
    /// Mount options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = atomic)]
    pub options: Vec<String>,
    /// The generation of the lockspace's members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockspace_generation: Option<u64>,
    /// Its members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub lockspace_members: Vec<Name>,
}

/// A guest on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestAssignment {
    /// Whether it should run here.
    pub desired_state: DesiredState,
    /// What to do about it now.
    pub step: GuestStep,
    /// The host that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_source: Option<Name>,
    /// The host that it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_target: Option<Name>,
}

/// What to do about a guest now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum GuestStep {
    /// See that it is as `desiredState` says.
    Keep,
    /// Wait for it, paused.
    Receive,
    /// Send it to the target.
    Send,
    /// See that it does not run here, and say so.
    Release,
}

/// How far a host is with a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePlanStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Converged`, `Stalled`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation that the host has made so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_plan_generation: Option<u64>,
    /// Whether what was to be stopped is surely stopped here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<bool>,
    /// How often it was tried since it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
