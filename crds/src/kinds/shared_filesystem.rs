//! A filesystem that is mounted on several hosts at once.

use super::condition::Condition;
use crate::scalar::{AbsolutePath, Name, Size, Time};
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
    ),
    (
        "self.mountPoint == oldSelf.mountPoint && has(self.lockTable) == has(oldSelf.lockTable) && \
         (!has(self.lockTable) || self.lockTable == oldSelf.lockTable)",
        "mountPoint and lockTable of a filesystem cannot be changed: delete the object and create it \
         anew, which keeps what is on the volume",
    ),
    (
        "!self.mountOptions.exists(option, option.startsWith('quota'))",
        "mountOptions does not say how use is counted: say it in quota",
    ),
]))]
pub struct SharedFilesystemSpec {
    /// Which filesystem.
    #[serde(rename = "type", default)]
    pub type_: SharedFilesystemType,
    /// The Volume that it is on, with `access: MultiWriter`.
    pub volume: Name,
    /// Where it is mounted.
    pub mount_point: AbsolutePath,
    /// Mount options. The kernel decides which of them it takes while it is mounted.
    #[serde(default = "default_mount_options")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 255)), transform = atomic)]
    pub mount_options: Vec<String>,
    /// Whether it is mounted at all.
    #[serde(default)]
    pub desired_state: DesiredMount,
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
    /// A person's wish that it be checked. It counts once, and only while it is mounted nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<FilesystemCheck>,
}

/// A wish that a filesystem be checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilesystemCheck {
    /// When it was asked for: each check is for the wishes that are older than it.
    pub at: Time,
    /// Mend what is found. Otherwise nothing is written.
    #[serde(default)]
    pub repair: bool,
}

/// Whether a filesystem is to be mounted.
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
pub enum DesiredMount {
    /// It is.
    #[default]
    Mounted,
    /// It is not, on no host: to check it. Guests that use it are stopped first, by people.
    Unmounted,
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
    /// Where it is, from the mount point, and below it: `..` is no part of it.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^\.{0,2}[^/.][^/]*(/\.{0,2}[^/.][^/]*)*/?$")
    )]
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
    /// `Ready`, `Frozen`, `ProgramLocks`, `Withdrawn`, `SpaceLow`, `Checked`.
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
    /// The last check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<CheckStatus>,
}

/// The last check of a filesystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckStatus {
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The host that checks at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Whether it mends what it finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<bool>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<CheckResult>,
    /// What the program said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What came of a check.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum CheckResult {
    /// Nothing was found that is wrong.
    Clean,
    /// What was found was mended.
    Repaired,
    /// Something is wrong with it still.
    Damaged,
    /// It did not come to its end.
    Broken,
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
    /// The form in which they settle locks of programs (POSIX and OFD) with each other, in this generation. None: such locks are
    /// refused, because not all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_locks: Option<u32>,
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
    /// How many journals it has, as far as this host has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journals: Option<u32>,
    /// Whether the kernel counts and limits its use here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaMode>,
    /// How large it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Size>,
    /// Space left, about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// The check that this host was told to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<MountCheck>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// A check of a filesystem, as its host says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountCheck {
    /// Its number.
    pub number: u64,
    /// What came of it.
    pub result: CheckResult,
    /// What the program said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
