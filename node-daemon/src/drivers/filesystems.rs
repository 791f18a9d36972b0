//! Filesystems and where they are mounted.

use super::{Doing, Hints, Owner};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{LockspaceAssignment, MountState, Name};
use serde::{Deserialize, Serialize};

/// A mounted filesystem on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSeen {
    /// The SharedFilesystem, or the Volume with a filesystem.
    pub owner: Owner,
    /// The device.
    pub device: AbsolutePath,
    /// Where.
    pub mount_point: AbsolutePath,
    /// Its type.
    pub filesystem: String,
    /// Whether it is usable.
    pub state: MountState,
    /// The journal that it uses.
    pub journal: Option<u32>,
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes left.
    pub free: u64,
}

/// What is written on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenFilesystem {
    /// Its type.
    pub filesystem: String,
    /// Its identity.
    pub uuid: String,
    /// Its lock table, where it has one.
    pub lock_table: Option<LockTable>,
    /// How many journals it has.
    pub journals: Option<u32>,
}

/// What a cluster filesystem is called among those that share its locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockTable {
    /// The cluster's name.
    pub cluster: String,
    /// The filesystem's.
    pub filesystem: String,
}

/// A filesystem as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemTarget {
    /// The SharedFilesystem, or the Volume with a filesystem.
    pub owner: Name,
    /// The device.
    pub device: AbsolutePath,
    /// Its type.
    pub filesystem: String,
    /// Its lock table, for cluster filesystems.
    pub lock_table: Option<LockTable>,
    /// How many journals it needs, for cluster filesystems.
    pub journals: Option<u32>,
    /// How many bytes each journal has, for cluster filesystems.
    pub journal_size: Option<u64>,
}

/// A mount as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct MountTarget {
    /// The SharedFilesystem, or the Volume with a filesystem.
    pub owner: Name,
    /// The device.
    pub device: AbsolutePath,
    /// Its type.
    pub filesystem: String,
    /// Where.
    pub mount_point: AbsolutePath,
    /// Mount options.
    pub options: Vec<String>,
    /// The locks that hosts share for it.
    pub lockspace: Option<Box<LockspaceAssignment>>,
}

/// Filesystems of this host.
pub trait Filesystems: Send + Sync {
    /// Everything that is mounted.
    fn observe(&self) -> Doing<'_, Vec<MountSeen>>;

    /// Mounts that come and go, filesystems that shut themselves down.
    fn watch(&self) -> Hints;

    /// What is written on a device. None: nothing at all is known to be on it.
    fn read<'a>(&'a self, device: &'a AbsolutePath) -> Doing<'a, Option<SeenFilesystem>>;

    /// Makes one on a device on which nothing is. Anything on it is [`super::Trouble::ForeignInTheWay`].
    fn make<'a>(&'a self, target: &'a FilesystemTarget) -> Doing<'a, ()>;

    /// Gives a mounted one the size of its device and the journals that it needs.
    fn grow<'a>(&'a self, target: &'a FilesystemTarget) -> Doing<'a, ()>;

    /// Mounts it. For a cluster filesystem this waits until [`super::Lockspaces`] has let the host in, which other hosts
    /// take part in: it is not called in the way of anything else.
    fn mount<'a>(&'a self, target: &'a MountTarget) -> Doing<'a, ()>;

    /// Unmounts it. Refused with [`super::Trouble::InUse`] while something has it open.
    fn unmount<'a>(&'a self, mount_point: &'a AbsolutePath) -> Doing<'a, ()>;
}
