//! How the replicas of a volume are kept the same: what DRBD calls its policies.

use super::condition::SecretKey;
use crate::scalar::{Duration, Name, Size, Time};
use crate::shape::rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How replicas are kept the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeReplication {
    /// When a write is done.
    pub protocol: ReplicationProtocol,
    /// What a host does when it loses a peer while it may write.
    pub fencing: FencingPolicy,
    /// What happens when both sides have written.
    pub split_brain: SplitBrain,
    /// What happens when a disk fails below it.
    pub on_io_error: OnIoError,
    /// What a host does about itself when its data cannot be trusted.
    pub handlers: Handlers,
    /// Where DRBD keeps its own data.
    pub metadata: MetadataPlace,
    /// The pool for metadata that is kept outside the volume: the volume's own, which is what it is
    /// without this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_pool: Option<Name>,
    /// How peers prove who they are.
    pub authentication: Authentication,
    /// Check every block on the wire. It costs processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_integrity: Option<Digest>,
    /// How many 4 MiB extents may be written without a mark on disk. More write faster and resync
    /// longer after a crash.
    #[schemars(range(min = 7, max = 65534))]
    pub activity_log_extents: u32,
    /// The network to use, when not the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Name>,
}

impl Default for VolumeReplication {
    fn default() -> Self {
        Self {
            protocol: ReplicationProtocol::C,
            fencing: FencingPolicy::ResourceAndStonith,
            split_brain: SplitBrain::default(),
            on_io_error: OnIoError::Detach,
            handlers: Handlers::default(),
            metadata: MetadataPlace::Internal,
            metadata_pool: None,
            authentication: Authentication::default(),
            data_integrity: None,
            activity_log_extents: 1237,
            network: None,
        }
    }
}

/// When a write is done.
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
pub enum ReplicationProtocol {
    /// On the local disk, and on its way.
    A,
    /// On the local disk, and in the peer's memory.
    B,
    /// On both disks.
    #[default]
    C,
}

/// What a host does when it loses a peer.
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
pub enum FencingPolicy {
    /// Freezes I/O until the peer is outdated or fenced.
    #[default]
    ResourceAndStonith,
    /// Outdates the peer when it can be reached, and goes on.
    ResourceOnly,
    /// Goes on. For volumes whose loss is no loss.
    DontCare,
}

/// What happens when both sides have written. None of these is allowed to lose data that only one
/// side has, unless it says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SplitBrain {
    /// When neither side is open for writing.
    pub no_primary: NoPrimary,
    /// When one side is open for writing.
    pub one_primary: OnePrimary,
    /// When both sides are open for writing.
    pub two_primaries: TwoPrimaries,
}

/// When neither side is open for writing.
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
pub enum NoPrimary {
    /// Wait for a person.
    Disconnect,
    /// When one side has written nothing, it takes the other's data; otherwise wait for a person.
    #[default]
    DiscardZeroChanges,
}

/// When one side is open for writing.
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
pub enum OnePrimary {
    /// Wait for a person.
    #[default]
    Disconnect,
    /// The other side loses what it has written. Its data is snapshotted first.
    DiscardSecondary,
}

/// When both sides are open for writing.
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
pub enum TwoPrimaries {
    /// Wait for a person.
    #[default]
    Disconnect,
}

/// What happens when a disk fails below a volume.
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
pub enum OnIoError {
    /// Go on without it, over the network.
    #[default]
    Detach,
    /// Hand the error to whoever reads or writes.
    PassOn,
    /// Run the handler for local errors.
    CallHandler,
}

/// What a host does about itself when its data cannot be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Handlers {
    /// It is open for writing, its data is inconsistent and no peer is there.
    pub primary_inconsistent_degraded: HandlerAction,
    /// It is open for writing and has lost a split brain.
    pub primary_lost_after_split_brain: HandlerAction,
    /// Its disk failed, with `onIoError: CallHandler`.
    pub local_io_error: HandlerAction,
}

impl Default for Handlers {
    fn default() -> Self {
        Self {
            primary_inconsistent_degraded: HandlerAction::Reset,
            primary_lost_after_split_brain: HandlerAction::Reset,
            local_io_error: HandlerAction::Reset,
        }
    }
}

/// What a host does about itself.
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
pub enum HandlerAction {
    /// Report it and go on.
    #[default]
    Report,
    /// Reset itself at once, without writing anything more.
    Reset,
    /// Switch itself off at once.
    PowerOff,
}

/// Where DRBD keeps its own data.
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
pub enum MetadataPlace {
    /// At the end of the volume's own space.
    #[default]
    Internal,
    /// On another logical volume.
    External,
}

/// How peers prove who they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "self.algorithm != 'Crc32c'",
        "CRC-32C proves nothing about a peer: use Sha256 or Sha1",
    )
]))]
pub struct Authentication {
    /// The digest.
    pub algorithm: Digest,
    /// The shared secret. None: peers are told apart by their addresses alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            algorithm: Digest::Sha256,
            secret: None,
        }
    }
}

/// A digest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Digest {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// CRC-32C: fast, finds accidents only.
    Crc32c,
}

/// How long a host that starts waits for the other replicas: until each of those that may hold newer
/// writes is heard or confirmed off, however long that takes. No time ends it, so that there is
/// nothing to set; what earlier releases wrote here by themselves is taken, and means nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "(!has(self.waitForPeer) || self.waitForPeer == duration('5m')) && \
         (!has(self.degradedWaitForPeer) || self.degradedWaitForPeer == duration('2m'))",
        "a replica waits until the others are heard or confirmed off, and no time ends that: leave \
         startup out",
    )
]))]
pub struct VolumeStartup {
    /// DRBD's `wfc-timeout`: when the peer was there at the last stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_for_peer: Option<Duration>,
    /// DRBD's `degr-wfc-timeout`: when the peer was missing already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_wait_for_peer: Option<Duration>,
}

/// How a replica catches up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resync {
    /// How much it may write in a second. By default its part of the Cluster's
    /// `replication.resyncRate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Size>,
    /// How much it writes in a second at least, however busy the guest is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rate: Option<Size>,
    /// The volume that is resynced first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Name>,
    /// Snapshot the replica that is overwritten, before, and remove the snapshot when it is in
    /// sync.
    pub snapshot_target: bool,
}

/// How it is made sure that replicas are the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Verify {
    /// The digest. None: volumes are not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Digest>,
    /// How often.
    pub interval: Duration,
    /// Once more, from this moment on, whatever the interval says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            algorithm: None,
            interval: Duration::from("168h"),
            at: None,
        }
    }
}
