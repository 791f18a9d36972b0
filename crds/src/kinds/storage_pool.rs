//! Where volumes get their space from.

use super::condition::Condition;
use crate::scalar::{AbsolutePath, Name, Size};
use crate::shape::{keyed, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Space for volumes, managed by LVM.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "StoragePool",
    plural = "storagepools",
    derive = "PartialEq",
    doc = "Space for volumes, managed by LVM.",
    shortname = "pool",
    status = "StoragePoolStatus",
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "Where its space is."
    ),
    printcolumn(
        name = "Provisioning",
        type_ = "string",
        json_path = ".spec.provisioning",
        description = "When space is taken."
    ),
    printcolumn(
        name = "Capacity",
        type_ = "string",
        json_path = ".status.capacity",
        description = "Space on all hosts together."
    ),
    printcolumn(
        name = "Free",
        type_ = "string",
        json_path = ".status.free",
        description = "Space left on the host that has the least."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "self.type != 'Local' || !has(self.volume)",
        "a pool of type Local lies on its hosts' own disks: remove volume, or use the type Shared",
    ),
    (
        "self.type != 'Shared' || has(self.volume) || (has(self.hosts) && size(self.hosts) > 0)",
        "a pool of type Shared lies on a replicated volume (volume) or on disks that several \
         hosts see (hosts)",
    ),
    ("self.type == oldSelf.type", "the type of a pool cannot be changed: create another pool")
]))]
pub struct StoragePoolSpec {
    /// Where its space is.
    #[serde(rename = "type")]
    pub type_: PoolType,
    /// The hosts that have space for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = keyed(&["node"]))]
    pub hosts: Vec<PoolHost>,
    /// The volume group's name on all hosts. By default the pool's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 127),
        regex(pattern = r"^[a-zA-Z0-9+_.][-a-zA-Z0-9+_.]*$")
    )]
    pub volume_group: Option<String>,
    /// The replicated volume that the volume group lies on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Name>,
    /// On how many hosts a logical volume of a Shared pool may be active.
    pub activation: PoolActivation,
    /// When space is taken.
    pub provisioning: Provisioning,
    /// How far a Thin pool may promise more than it has.
    pub thin: ThinPool,
    /// Space on each host that no volume gets: for snapshots, for repairs.
    pub reserve: Size,
    /// Overwrite what a deleted volume held.
    pub wipe_on_delete: bool,
}

impl Default for StoragePoolSpec {
    fn default() -> Self {
        Self {
            type_: PoolType::Local,
            hosts: Vec::new(),
            volume_group: None,
            volume: None,
            activation: PoolActivation::Exclusive,
            provisioning: Provisioning::Thick,
            thin: ThinPool::default(),
            reserve: Size::from("0"),
            wipe_on_delete: false,
        }
    }
}

/// Where a pool's space is.
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
pub enum PoolType {
    /// On each host's own disks: volumes are replicated above it.
    #[default]
    Local,
    /// On a device that several hosts see: a replicated volume, or a SAN.
    Shared,
}

/// On how many hosts a logical volume may be active.
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
pub enum PoolActivation {
    /// On one, guarded by the plan's epoch.
    #[default]
    Exclusive,
    /// On all, for cluster filesystems.
    Shared,
}

/// When space is taken.
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
pub enum Provisioning {
    /// When the volume is made: what was promised is there.
    #[default]
    Thick,
    /// When it is written to.
    Thin,
}

/// A host's part of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolHost {
    /// The host.
    pub node: Name,
    /// The volume group's name on this host, when it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 127),
        regex(pattern = r"^[a-zA-Z0-9+_.][-a-zA-Z0-9+_.]*$")
    )]
    pub volume_group: Option<String>,
    /// Disks to make the volume group from, by names that do not change: `/dev/disk/by-id/...`.
    /// None: it must be there already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = set)]
    pub devices: Vec<AbsolutePath>,
}

/// How far a thin pool may promise more than it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ThinPool {
    /// Promise more than there is. Guests freeze when it runs out.
    pub allow_over_provisioning: bool,
    /// How much may be promised, in percent of what there is.
    #[schemars(range(min = 100, max = 1000))]
    pub max_percent: u32,
}

impl Default for ThinPool {
    fn default() -> Self {
        Self {
            allow_over_provisioning: false,
            max_percent: 100,
        }
    }
}

/// How much space a pool has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StoragePoolStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `SpaceLow`, `OverProvisioned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// Space on all hosts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Size>,
    /// Space left on the host that has the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// Each host's part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = keyed(&["node"]))]
    pub hosts: Vec<PoolHostStatus>,
}

/// A host's part of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolHostStatus {
    /// The host.
    pub node: Name,
    /// Whether it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PoolState>,
    /// What it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Size>,
    /// What is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// What is promised to volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<Size>,
    /// Logical volumes that no Volume stands for. They are reported and left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), transform = set)]
    pub orphans: Vec<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// Whether a pool is there.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum PoolState {
    /// It is there.
    Ready,
    /// It is there, with a disk missing.
    Degraded,
    /// It is not there.
    Missing,
}
