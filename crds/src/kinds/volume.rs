//! A disk for guests, kept on several hosts at once.

use super::volume_replication::{Resync, Verify, VolumeReplication, VolumeStartup};
use super::volume_status::VolumeStatus;
use crate::scalar::{AbsolutePath, Name, Size};
use crate::shape::{atomic, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A block device: a logical volume on each replica's host, replicated by DRBD between them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Volume",
    plural = "volumes",
    derive = "PartialEq",
    doc = "A block device: a logical volume on each replica's host, replicated by DRBD between \
           them.",
    shortname = "vol",
    status = "VolumeStatus",
    printcolumn(
        name = "Size",
        type_ = "string",
        json_path = ".spec.size",
        description = "How large it is."
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.inSyncSummary",
        description = "Replicas in sync, of all."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "How it is."
    ),
    printcolumn(
        name = "Sync",
        type_ = "string",
        json_path = ".status.syncSummary",
        description = "How far a resync is."
    ),
    printcolumn(
        name = "Primary",
        type_ = "string",
        json_path = ".status.primary[*]",
        description = "Where it is open for writing."
    ),
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".spec.pool",
        priority = 1,
        description = "Where its space is."
    ),
    printcolumn(
        name = "Protocol",
        type_ = "string",
        json_path = ".spec.replication.protocol",
        priority = 1,
        description = "When a write is done."
    ),
    printcolumn(
        name = "Port",
        type_ = "integer",
        json_path = ".status.port",
        priority = 1,
        description = "The port that replication uses."
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
        "self.replicas > 1 || self.access == 'SingleWriter'",
        "access MultiWriter needs two replicas or more",
    ),
    (
        "!has(self.filesystem) || self.access == 'SingleWriter'",
        "a local filesystem is on one host at a time: use access SingleWriter, or a \
         SharedFilesystem",
    ),
    (
        "!has(self.nodes) || size(self.nodes) == 0 || size(self.nodes) >= self.replicas",
        "nodes must list at least as many hosts as there are replicas, or none",
    ),
    (
        "!has(self.replication.metadataPool) || self.replication.metadataPool == self.pool",
        "DRBD's own data lies in the volume's own pool: leave replication.metadataPool out",
    ),
    (
        "!has(self.logicalVolume) || self.replication.metadata == 'Internal'",
        "a logical volume that is taken over keeps its data only with replication.metadata \
         Internal",
    )
]))]
pub struct VolumeSpec {
    /// How large it is. It may grow, never shrink.
    pub size: Size,
    /// The StoragePool that gives the space.
    #[schemars(transform = rules(&[
        (
            "self == oldSelf",
            "the pool of a volume cannot be changed: create another volume and copy",
        )
    ]))]
    pub pool: Name,
    /// On how many hosts it is kept.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 16))]
    pub replicas: u32,
    /// The hosts that may keep it. None listed: the planner chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = set)]
    pub nodes: Vec<Name>,
    /// How many hosts may have it open for writing.
    #[serde(default)]
    pub access: VolumeAccess,
    /// How the replicas are kept the same.
    #[serde(default)]
    pub replication: VolumeReplication,
    /// How long a host that starts waits for the other replicas.
    #[serde(default)]
    pub startup: VolumeStartup,
    /// How a replica catches up.
    #[serde(default)]
    pub resync: Resync,
    /// How it is made sure that the replicas are the same.
    #[serde(default)]
    pub verify: Verify,
    /// A filesystem on it, mounted on one host at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<LocalFilesystem>,
    /// The logical volume's name, to take over one that exists. By default the volume's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 127),
        regex(pattern = r"^[a-zA-Z0-9+_.][-a-zA-Z0-9+_.]*$")
    )]
    pub logical_volume: Option<String>,
    /// What it holds in the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeSource>,
    /// Accept that the pool may not have the space when it is written. The pool must allow it too.
    #[serde(default)]
    pub over_provision: bool,
    /// A person's decision on a split brain. It counts for that one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Resolve>,
    /// What happens to the data when the Volume is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A person's decision on a split brain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolve {
    /// The number of the split brain, from the status.
    pub split_brain: u64,
    /// The host whose data is given up. It is snapshotted first.
    pub discard: Name,
}

/// How many hosts may have a volume open for writing.
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
pub enum VolumeAccess {
    /// One; two only while a guest is migrated.
    #[default]
    SingleWriter,
    /// All that keep it, for cluster filesystems.
    MultiWriter,
}

/// A filesystem that is mounted on one host at a time and moves with what needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalFilesystem {
    /// Which.
    #[serde(rename = "type", default)]
    pub type_: LocalFilesystemType,
    /// Where it is mounted.
    pub mount_point: AbsolutePath,
    /// Mount options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = atomic)]
    pub mount_options: Vec<String>,
}

/// A filesystem for one host.
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
pub enum LocalFilesystemType {
    /// ext4.
    Ext4,
    /// XFS.
    #[default]
    Xfs,
}

/// What a volume holds in the beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "(has(self.snapshot) ? 1 : 0) + (has(self.volume) ? 1 : 0) + (has(self.url) ? 1 : 0) == 1",
        "a volume is filled from exactly one of snapshot, volume and url",
    ),
    (
        "!has(self.url) || has(self.sha256)",
        "an image from outside needs its checksum: give sha256",
    ),
    (
        "!has(self.url) || self.url.startsWith('https://') || self.url.startsWith('http://') \
         || self.url.startsWith('file://')",
        "an image is fetched from https://, http://, or the host's own \
         file:///var/lib/quorate-node/images/NAME",
    )
]))]
pub struct VolumeSource {
    /// A VolumeSnapshot of a volume that is no larger. This one begins on the host that keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Name>,
    /// Another Volume that is no larger, as after a power cut. A snapshot of it is taken for that, which needs its room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Name>,
    /// A raw image: `https://...`, `http://...`, or a file of the host where the volume begins,
    /// `file:///var/lib/quorate-node/images/...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// The image's checksum.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

/// What happens to the data when its object is deleted.
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
pub enum DeletionPolicy {
    /// It is deleted too.
    #[default]
    Delete,
    /// It stays, and is reported as an orphan.
    Retain,
}

fn default_replicas() -> u32 {
    2
}
