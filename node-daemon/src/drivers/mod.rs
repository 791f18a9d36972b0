//! What the daemon needs of a host, one trait per subsystem.
//!
//! The daemon decides nothing and parses nothing: a driver hands it structured observations, and carries out small acts
//! that may be asked for again at any time. Behind each trait stand a real implementation and a simulated one, and
//! nothing above can tell which.
//!
//! All of them share three habits:
//!
//! * `observe` returns everything of its subsystem that this host has, also what is not ours; that is marked
//!   [`Owner::Foreign`] and is never touched.
//! * `watch` yields hints to look again, never facts: a hint may be lost, doubled or too early, and the slow audit finds
//!   what it missed. The stream ends when the subsystem is gone; it is opened again.
//! * An act is *idempotent*: what is so already is success, at once. Its future may be dropped at any moment (the daemon
//!   is killed); then the effect is unknown and the next observation tells. A [`DriverError`] says whether trying again
//!   makes sense and whether the effect is known.

mod command;
mod dlm;
mod draft;
pub mod drbd;
mod error;
mod facts;
mod filesystems;
mod guests;
mod host;
mod interfaces;
mod libvirt;
mod lockspaces;
pub mod lvm;
mod mounts;
mod networks;
mod pools;
mod replication;
mod trouble;
mod watchdog;
mod wipefs;

pub use error::{DriverError, Source};
pub use facts::{Facts, HostFacts};
pub use filesystems::{
    CheckSeen, CheckTarget, FilesystemTarget, Filesystems, LockTable, MountSeen, MountTarget,
    SeenFilesystem,
};
pub use guests::{
    Both, DiskSource, GuestDoing, GuestSeen, GuestTarget, Guests, HowEnded, Line, NicSource,
    SecretValue, SendTo, StartAs, WhyPaused,
};
pub use host::of_this_host;
pub use libvirt::{LibvirtGuests, Settings as LibvirtSettings};
pub use lockspaces::{LockTalk, LockspaceSeen, Lockspaces};
pub use networks::{NetworkSeen, NetworkTarget, Networks};
pub use pools::{
    Activation, LogicalVolumeSeen, LogicalVolumeTarget, Pools, PoolsSeen, SnapshotTarget, Space,
    VolumeGroupSeen, VolumeGroupTarget,
};
pub use replication::{
    Abilities, PeerSeen, PeerVerdict, Question, ReplicaSeen, ReplicaTarget, Replication,
    VerifySeen, Written, metadata_of,
};
pub use trouble::Trouble;
pub use watchdog::{Watchdog, WatchdogFound};

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use quorate_crds::Name;
use serde::{Deserialize, Serialize};

/// What an act or an observation comes to.
pub type Doing<'a, T> = BoxFuture<'a, Result<T, DriverError>>;

/// Hints to look again.
pub type Hints = BoxStream<'static, Hint>;

/// A hint that something has, or may have, changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hint {
    /// Anything of the subsystem.
    Anything,
    /// What belongs to the object of this name: the network, volume, filesystem or guest.
    Object(Name),
}

/// Whose something on a host is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// Ours; made for, or taken over for, the object of this name.
    Ours(Name),
    /// Not ours. It is reported where that helps a person, and left alone.
    Foreign,
}

impl Owner {
    /// The object that it belongs to, when it is ours.
    #[must_use]
    pub fn object(&self) -> Option<&Name> {
        match self {
            Self::Ours(name) => Some(name),
            Self::Foreign => None,
        }
    }
}

/// A host's subsystems. The watchdog is not among them: it belongs to the lease process.
#[derive(Clone)]
pub struct Drivers {
    /// Bonds, VLANs, bridges, addresses.
    pub networks: Arc<dyn Networks>,
    /// Volume groups and logical volumes.
    pub pools: Arc<dyn Pools>,
    /// Replicated devices.
    pub replication: Arc<dyn Replication>,
    /// Filesystems and mounts.
    pub filesystems: Arc<dyn Filesystems>,
    /// Lock managers of cluster filesystems.
    pub lockspaces: Arc<dyn Lockspaces>,
    /// Guests.
    pub guests: Arc<dyn Guests>,
    /// What the host is.
    pub facts: Arc<dyn Facts>,
}
