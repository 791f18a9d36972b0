//! Filesystems and where they are mounted.

use super::{Doing, Hints, Owner};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{CheckResult, LockspaceAssignment, MountState, Name, QuotaMode};
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
    /// How many journals it has, as far as that was looked at.
    pub journals: Option<u32>,
    /// Whether the kernel counts and limits its use.
    pub quota: Option<QuotaMode>,
    /// The mount options that the kernel was last told; none where that is not known.
    pub options: Option<Vec<String>>,
    /// What the kernel did not take of them.
    pub refused: Option<String>,
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes left.
    pub free: u64,
}

/// A check that was begun on this host since it booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSeen {
    /// The SharedFilesystem.
    pub owner: Name,
    /// Its number.
    pub number: u64,
    /// The program is at work, be it for a former daemon.
    pub runs: bool,
    /// What came of it.
    pub result: Option<CheckResult>,
    /// What the program said last.
    pub message: Option<String>,
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
    /// Directories that it needs, from its root.
    pub directories: Vec<String>,
}

/// A check as it should be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckTarget {
    /// The SharedFilesystem.
    pub owner: Name,
    /// The device.
    pub device: AbsolutePath,
    /// Its type.
    pub filesystem: String,
    /// Its number: each is made once.
    pub number: u64,
    /// Mend what is found.
    pub repair: bool,
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

    /// Gives a mounted one the size of its device, and the journals and directories that it needs.
    fn grow<'a>(&'a self, target: &'a FilesystemTarget) -> Doing<'a, ()>;

    /// Mounts it. For a cluster filesystem this waits until [`super::Lockspaces`] has let the host in, which other hosts
    /// take part in: it is not called in the way of anything else.
    fn mount<'a>(&'a self, target: &'a MountTarget) -> Doing<'a, ()>;

    /// Tells the kernel other options of one that is mounted. What it does not take counts from the next mount on, and is seen as refused.
    fn remount<'a>(&'a self, target: &'a MountTarget) -> Doing<'a, ()>;

    /// Whether that file is there, on a filesystem that is mounted by us, and lies on it. Otherwise it is
    /// [`super::Trouble::FileMissing`], or refused when it leads out of it.
    fn find<'a>(&'a self, path: &'a AbsolutePath) -> Doing<'a, ()>;

    /// The checks that were begun here.
    fn checks(&self) -> Doing<'_, Vec<CheckSeen>>;

    /// Checks one that nobody has mounted, however long that takes. What comes of it is seen in the checks.
    fn check<'a>(&'a self, target: &'a CheckTarget) -> Doing<'a, ()>;

    /// Unmounts it. Refused with [`super::Trouble::InUse`] while something has it open.
    fn unmount<'a>(&'a self, mount_point: &'a AbsolutePath) -> Doing<'a, ()>;
}
