//! A volume as it was at one moment.

use super::condition::Condition;
use super::volume::DeletionPolicy;
use crate::scalar::{Duration, Name, Size, Time};
use crate::shape::{keyed, rules};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A volume as it was at one moment. It is kept on one replica's host.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "VolumeSnapshot",
    plural = "volumesnapshots",
    derive = "PartialEq",
    doc = "A volume as it was at one moment. It is kept on one replica's host.",
    shortname = "snap",
    status = "VolumeSnapshotStatus",
    printcolumn(
        name = "Volume",
        type_ = "string",
        json_path = ".spec.volume",
        description = "The volume."
    ),
    printcolumn(
        name = "Ready",
        type_ = "boolean",
        json_path = ".status.ready",
        description = "Whether it can be read."
    ),
    printcolumn(
        name = "Taken",
        type_ = "date",
        json_path = ".status.takenAt",
        description = "The moment that it shows."
    ),
    printcolumn(
        name = "Used",
        type_ = "string",
        json_path = ".status.used",
        description = "How much space it takes."
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
    ("self.volume == oldSelf.volume", "a snapshot stays with its volume: create another")
]))]
pub struct VolumeSnapshotSpec {
    /// The volume.
    pub volume: Name,
    /// The replica to take it from. By default the one that is open for writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// What a reader can rely on.
    #[serde(default)]
    pub consistency: SnapshotConsistency,
    /// Space for what changes meanwhile. By default a fifth of the volume's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Size>,
    /// Delete it after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// What happens to the data when the VolumeSnapshot is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What a reader of a snapshot can rely on.
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
pub enum SnapshotConsistency {
    /// As after a power cut.
    #[default]
    Crash,
    /// The guest's agent froze its filesystems.
    Filesystem,
}

/// What a snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSnapshotStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `SpaceLow`, `Expired`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// Whether it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The host that keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// The moment that it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Time>,
    /// How large the volume was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// How much space it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Size>,
    /// When it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// What it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<SnapshotReason>,
}

/// What a snapshot was made for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum SnapshotReason {
    /// A person asked for it.
    Request,
    /// A new volume begins with it.
    Source,
    /// A replica is overwritten.
    Resync,
    /// The side that was given up.
    SplitBrain,
}
