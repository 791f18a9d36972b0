//! A filesystem that is mounted on several hosts at once.

use super::condition::Condition;
use crate::scalar::{AbsolutePath, Name, Size};
use crate::shape::{atomic, keyed, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster filesystem on a volume that several hosts may write.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "SharedFilesystem",
    plural = "sharedfilesystems",
    derive = "PartialEq",
    doc = "A cluster filesystem on a volume that several hosts may write.",
    shortname = "fs",
    status = "SharedFilesystemStatus",
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "Which filesystem."
    ),
    printcolumn(
        name = "Volume",
        type_ = "string",
        json_path = ".spec.volume",
        description = "What it is on."
    ),
    printcolumn(
        name = "Mount point",
        type_ = "string",
        json_path = ".spec.mountPoint",
        description = "Where it is mounted."
    ),
    printcolumn(
        name = "Mounted",
        type_ = "string",
        json_path = ".status.mountedSummary",
        description = "Hosts that have it mounted, of all."
    ),
    printcolumn(
        name = "Free",
        type_ = "string",
        json_path = ".status.free",
        description = "Space left."
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
        "self.type == oldSelf.type && self.volume == oldSelf.volume",
        "type and volume of a filesystem cannot be changed: create another",
    )
]))]
pub struct SharedFilesystemSpec {
    /// Which filesystem.
    #[serde(rename = "type", default)]
    pub type_: SharedFilesystemType,
    /// The Volume that it is on, with `access: MultiWriter`.
    pub volume: Name,
    /// Where it is mounted.
    pub mount_point: AbsolutePath,
    /// Mount options.
    #[serde(default = "default_mount_options")]
    #[schemars(length(max = 32), transform = atomic)]
    pub mount_options: Vec<String>,
    /// The hosts that mount it. None listed: all that keep the volume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub nodes: Vec<Name>,
    /// How many hosts may have it mounted at once. More are added when more hosts are listed.
    #[serde(default = "default_journals")]
    #[schemars(range(min = 1, max = 64))]
    pub journals: u32,
    /// How large each journal is.
    #[serde(default = "default_journal_size")]
    pub journal_size: Size,
    /// The lock table, to take over a filesystem that exists. By default cluster and filesystem
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-zA-Z0-9_-]+(:[a-zA-Z0-9_-]+)?$")
    )]
    pub lock_table: Option<String>,
    /// Whether use is counted and limited.
    #[serde(default)]
    pub quota: QuotaMode,
    /// Directories that are made on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = keyed(&["purpose"]))]
    pub directories: Vec<SharedDirectory>,
}

/// A cluster filesystem.
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
pub enum SharedFilesystemType {
    /// GFS2.
    #[default]
    Gfs2,
    /// OCFS2.
    Ocfs2,
}

/// Whether use is counted and limited.
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
pub enum QuotaMode {
    /// Neither.
    #[default]
    Ignored,
    /// Counted.
    Accounted,
    /// Counted and limited.
    Enforced,
}

/// A directory with a purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedDirectory {
    /// What it is for.
    pub purpose: DirectoryPurpose,
    /// Where it is, from the mount point.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^/].*$"))]
    pub path: String,
}

/// What a shared directory is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum DirectoryPurpose {
    /// Installation media; guests name them as `media://FILE`.
    Media,
    /// Guests' definitions.
    Definitions,
    /// Scripts that install guests.
    Provision,
    /// Old definitions, with the time in their names.
    Archive,
    /// Guests' disks that are files.
    Images,
    /// Anything else.
    Files,
}

/// What a shared filesystem is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SharedFilesystemStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Frozen`, `Withdrawn`, `SpaceLow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uuid: Option<String>,
    /// How many journals it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journals: Option<u32>,
    /// How large it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Size>,
    /// Space left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// Hosts that have it mounted, of all: `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub mounted_summary: Option<String>,
    /// Its locks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockspace: Option<LockspaceStatus>,
    /// The filesystem on each host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["node"]))]
    pub mounts: Vec<MountStatus>,
}

/// The locks of a filesystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LockspaceStatus {
    /// Rises whenever its members change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether locks are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LockspaceState>,
    /// The hosts that take part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub members: Vec<Name>,
}

/// Whether locks are given.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum LockspaceState {
    /// They are.
    Running,
    /// They wait: for a lost host to be fenced, or for quorum.
    Stopped,
}

/// A shared filesystem on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountStatus {
    /// The host.
    pub node: Name,
    /// Whether it is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<MountState>,
    /// The journal that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<u32>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// Whether a filesystem is mounted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum MountState {
    /// It is.
    Mounted,
    /// It is about to be, and waits to be let in by those that have it mounted.
    Mounting,
    /// It is about to be unmounted, and waits to be let out by them.
    Unmounting,
    /// It is not.
    Unmounted,
    /// It shut itself down on an error.
    Withdrawn,
}

fn default_mount_options() -> Vec<String> {
    vec!["noatime".into(), "nodiratime".into()]
}

fn default_journals() -> u32 {
    2
}

fn default_journal_size() -> Size {
    Size::from("128Mi")
}
