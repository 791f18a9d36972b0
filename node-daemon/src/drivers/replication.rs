//! Replicated devices (DRBD).

use super::{Doing, Hints, Owner, SecretValue};
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    ConnectionState, DiskState, MetadataPlace, Name, ReplicaAssignment, ReplicaRole, SyncProgress,
    VerifyState, VolumeSpec,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What this host's version can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Its version, for people.
    pub version: String,
    /// How many peers a replica may have.
    pub peers: u32,
    /// Whether a replica without quorum stops by itself.
    pub quorum: bool,
}

/// A replica on this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSeen {
    /// The Volume.
    pub owner: Owner,
    /// The device that guests and filesystems open.
    pub device: AbsolutePath,
    /// Its bytes, as they can be used.
    pub size: u64,
    /// Whether it is open for writing.
    pub role: ReplicaRole,
    /// Its data.
    pub disk: DiskState,
    /// Whether something has it open.
    pub open: bool,
    /// Whether writes wait: for a decision about a peer, or for quorum.
    pub frozen: bool,
    /// Whether two may be open for writing at once.
    pub two_primaries: bool,
    /// Whether configuration and kernel agree with the target that was last adjusted to.
    pub as_adjusted: bool,
    /// Whether a resync of it goes at its part of the rate that those of this host share.
    pub paced: bool,
    /// Bytes that differ from the peer it is furthest from.
    pub out_of_sync: u64,
    /// How far a resync is.
    pub sync: Option<SyncProgress>,
    /// What is known of writes to it on this host. None where nobody looks.
    pub written: Option<Written>,
    /// The verification that was asked for last.
    pub verify: Option<VerifySeen>,
    /// The peers.
    pub peers: Vec<PeerSeen>,
}

/// When a replica was written by what has it open on this host. What its peers write does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Since when somebody looks. Of writes before nothing is known.
    pub since: Timestamp,
    /// When it was last seen that something had been written.
    pub last: Option<Timestamp>,
}

/// A verification, as far as it is known what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySeen {
    /// The number under which it was asked for.
    pub number: u64,
    /// How far it is. One whose end nobody has seen is broken off.
    pub state: VerifyState,
    /// Why it was broken off.
    pub message: Option<String>,
}

/// A peer, as this host sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerSeen {
    /// Its host.
    pub node: Name,
    /// Whether it is heard.
    pub connection: ConnectionState,
    /// Whether it is open for writing, as far as is known.
    pub role: ReplicaRole,
    /// Its data, as far as is known.
    pub disk: DiskState,
    /// Both sides have written: the connection was refused for that.
    pub split_brain: bool,
}

/// A replica as it should be on this host.
#[derive(Clone, Debug)]
pub struct ReplicaTarget {
    /// The Volume.
    pub name: Name,
    /// The host itself.
    pub node: Name,
    /// What people want.
    pub spec: Arc<VolumeSpec>,
    /// What was planned for this host. The role is not part of the configuration: it is reached by
    /// [`Replication::promote`] and [`Replication::demote`].
    pub assignment: ReplicaAssignment,
    /// Proves to peers who this is.
    pub secret: Option<SecretValue>,
}

impl ReplicaTarget {
    /// The logical volume with the replica's own data, when that is kept outside of the volume.
    #[must_use]
    pub fn metadata_device(&self) -> Option<AbsolutePath> {
        (self.spec.replication.metadata == MetadataPlace::External)
            .then(|| AbsolutePath(metadata_of(self.assignment.backing_device.as_str())))
    }
}

/// What a logical volume's companion with the replica's own data is called: it lies beside it.
#[must_use]
pub fn metadata_of(logical: &str) -> String {
    format!("{logical}-metadata")
}

/// What is decided about a peer that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerVerdict {
    /// Not decided: writes stay frozen, and it is asked again.
    Undecided,
    /// It is reachable otherwise and was outdated.
    Outdated,
    /// It is confirmed off, and the in-sync set without it is committed.
    Fenced,
}

/// The storage asks whether it may write without a peer. Dropping it means [`PeerVerdict::Undecided`].
#[derive(Debug)]
pub struct Question {
    /// The Volume.
    pub volume: Name,
    /// The peer that was lost.
    pub peer: Name,
    /// Where the answer goes.
    pub answer: oneshot::Sender<PeerVerdict>,
}

/// Replicated devices of this host.
///
/// While a promotion or a lost connection waits for the answer to a [`Question`], the resource is locked: no other act
/// on that volume is called until the promotion has returned, and questions are answered beside the reconcile loop.
pub trait Replication: Send + Sync {
    /// What this host's version can do.
    fn abilities(&self) -> Doing<'_, Abilities>;

    /// Every replica.
    fn observe(&self) -> Doing<'_, Vec<ReplicaSeen>>;

    /// State changes.
    fn watch(&self) -> Hints;

    /// Questions about lost peers.
    fn questions(&self) -> BoxStream<'static, Question>;

    /// Writes the replica's own data on its backing device, when it has none; what it then holds is nothing, and all is
    /// copied from a peer. Where `assignment.begins_here` says so, what it holds is the volume's data from now on; peers
    /// that are as new need not copy anything. A replica that is there is left as it is; anything else on the device is
    /// [`super::Trouble::ForeignInTheWay`].
    fn create<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()>;

    /// Brings it up, attached and connecting, exactly as the target says: peers, options, and whether two may be open
    /// for writing. A rate for resyncs that is shared is divided among those that catch up at present. Nothing is called
    /// when it is so already.
    fn adjust<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()>;

    /// Opens it for writing: on data that is known to be current, or becomes so by the answer to a [`Question`]. Anything
    /// else is refused with [`super::Trouble::NotCurrent`].
    fn promote<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()>;

    /// Closes it for writing. Refused with [`super::Trouble::InUse`] while something has it open.
    fn demote<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()>;

    /// Takes the new size of the backing devices, once those have grown on all hosts.
    fn resize<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()>;

    /// Marks this host's data as no longer current. Refused while it is open for writing here.
    fn outdate<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()>;

    /// Gives up this host's data after a split brain, and takes the peer's. The caller has made the snapshot.
    fn discard<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()>;

    /// Begins to compare all blocks with the peers'. That it cannot begin is no failure of the replica: it is what
    /// [`ReplicaSeen::verify`] says under that number.
    fn verify<'a>(&'a self, volume: &'a Name, number: u64) -> Doing<'a, ()>;

    /// Takes it down and forgets its configuration. Its data stays on the backing device.
    fn take_down<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()>;

    /// After [`Replication::take_down`]: removes its own data from the backing device, which is then free.
    fn erase<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()>;
}
