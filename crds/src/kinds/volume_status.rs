//! What a volume is, on each host, and what the planner has decided about it.

use super::condition::{Condition, ObjectReference};
use crate::scalar::{Duration, Name, Size, Time};
use crate::shape::{atomic, keyed, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a volume is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `InSync`, `SplitBrain`, `Verified`, `Growing`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<VolumeState>,
    /// How large it is at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// The device's minor number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// The TCP port that replication uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// Rises whenever the right to write moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The hosts whose replicas hold every acknowledged write. One leaves before another writes
    /// without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = set)]
    pub in_sync: Vec<Name>,
    /// Rises whenever that set changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_sync_generation: Option<u64>,
    /// Replicas in sync, of all: `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub in_sync_summary: Option<String>,
    /// How far a resync is at least, in coarse steps: `>60%`. What it is just now is told live
    /// (`quorate get volumes`, `quorate status`) and not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sync_summary: Option<String>,
    /// The hosts that have it open for writing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = set)]
    pub primary: Vec<Name>,
    /// Whether two may have it open at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_primaries_allowed: Option<bool>,
    /// What uses it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = atomic)]
    pub used_by: Vec<ObjectReference>,
    /// Each replica.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["node"]))]
    pub replicas: Vec<ReplicaStatus>,
    /// What each side has written, after a split brain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_brain: Option<SplitBrainStatus>,
    /// The last verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verify: Option<VerifyStatus>,
}

/// How a volume is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum VolumeState {
    /// It is not made yet.
    Pending,
    /// Every replica is in sync.
    Ready,
    /// A replica catches up.
    Syncing,
    /// A replica is missing.
    Degraded,
    /// Writes wait for fencing or quorum.
    Frozen,
    /// Both sides have written; a person must choose.
    SplitBrain,
    /// No replica that is in sync can be reached.
    Lost,
    /// It is going away.
    Deleting,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its host.
    pub node: Name,
    /// Its number among the replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u32>,
    /// Whether it is open for writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<ReplicaRole>,
    /// Its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskState>,
    /// Whether it hears the others that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionState>,
    /// How it hears each of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["node"]))]
    pub peers: Vec<PeerStatus>,
    /// How large it is here at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Whether two may have it open, as far as this host goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_primaries_allowed: Option<bool>,
    /// Peers without which it may not write: its writes wait until each of them is outdated or
    /// fenced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = set)]
    pub asks_about: Vec<Name>,
    /// The device file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub device: Option<String>,
    /// The logical volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub backing_device: Option<String>,
    /// How much it has yet to receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_sync: Option<Size>,
    /// How far a resync of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncProgress>,
    /// When its host last saw that something was written to it there. Told while it is split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_write: Option<Time>,
    /// Since when its host looks at that. Of writes before nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_since: Option<Time>,
    /// The verification that its host was asked for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<ReplicaVerify>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// How a replica hears another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The other one's host.
    pub node: Name,
    /// Whether they hear each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionState>,
    /// The other one's data, as it is known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskState>,
}

/// Whether a replica is open for writing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ReplicaRole {
    /// It is.
    Primary,
    /// It is not.
    Secondary,
    /// Its host does not say.
    Unknown,
}

/// A replica's data.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum DiskState {
    /// Complete and current.
    UpToDate,
    /// Complete; whether it is current is unknown.
    Consistent,
    /// Complete, and another one is newer.
    Outdated,
    /// Incomplete: a resync is not finished.
    Inconsistent,
    /// There is no disk below it; it works over the network.
    Diskless,
    /// The disk failed.
    Failed,
    /// Its host does not say.
    Unknown,
}

/// Whether a replica hears the others.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConnectionState {
    /// It does.
    Connected,
    /// It tries.
    Connecting,
    /// It does not try: a person must look.
    StandAlone,
    /// It is not to.
    Disconnected,
}

/// How far a resync is. What is stored is coarse, and so told that it stays true: so much is done at
/// least. Rate and time are only told live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncProgress {
    /// How much is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
    /// How much is written in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Size>,
    /// How long it will take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Duration>,
}

impl SyncProgress {
    /// What of it is stored: that so much is done at least, in fifths. The store is not there for
    /// figures that move all the time, and a resync of hours is to write it a few times in all.
    #[must_use]
    pub fn stored(&self) -> Self {
        Self {
            percent: self.percent.map(|percent| percent / 20 * 20),
            rate: None,
            remaining: None,
        }
    }
}

/// What each side has written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SplitBrainStatus {
    /// Its number, so that a decision is never taken for a later one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Since when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = keyed(&["node"]))]
    pub sides: Vec<SplitBrainSide>,
}

/// One side of a split brain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SplitBrainSide {
    /// The host.
    pub node: Name,
    /// How much it has written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Size>,
    /// When it was last seen to write, to the minute. None: not since `watchedSince`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_write: Option<Time>,
    /// Since when its host looks at that: of writes before, nobody knows when they were. None: its
    /// host does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_since: Option<Time>,
}

/// What a host says of the verification that it was asked for last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaVerify {
    /// Its number.
    pub number: u64,
    /// How far it is.
    pub state: VerifyState,
    /// How much differed, when it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_sync: Option<Size>,
    /// Why it was broken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// How far a verification is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum VerifyState {
    /// Blocks are compared.
    Running,
    /// Every block was compared.
    Finished,
    /// It ended before every block was compared, or could not begin.
    Broken,
}

/// The last verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerifyStatus {
    /// The number of the one that was begun last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The host that compares at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// When the last one began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When every block was last compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How much differed then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_sync: Option<Size>,
}
