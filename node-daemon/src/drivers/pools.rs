//! Volume groups and logical volumes.

use super::{Doing, Hints, Owner};
use quorate_crds::Name;
use quorate_crds::scalar::AbsolutePath;
use serde::{Deserialize, Serialize};

/// What was found of volume groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolsSeen {
    /// Every volume group with all that is in it.
    pub groups: Vec<VolumeGroupSeen>,
    /// Replicated devices that could not be read: what lies on them is not known.
    pub unread: Vec<AbsolutePath>,
}

/// A volume group on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroupSeen {
    /// Its name.
    pub name: String,
    /// The StoragePool that it belongs to.
    pub owner: Owner,
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes that no logical volume has.
    pub free: u64,
    /// Disks that are missing.
    pub missing: Vec<AbsolutePath>,
    /// What is in it.
    pub volumes: Vec<LogicalVolumeSeen>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalVolumeSeen {
    /// Its name.
    pub name: String,
    /// The Volume, or VolumeSnapshot, that it belongs to.
    pub owner: Owner,
    /// Its bytes.
    pub size: u64,
    /// Whether it can be opened here.
    pub active: bool,
    /// Whether something has it open.
    pub open: bool,
    /// The logical volume that it is a snapshot of.
    pub snapshot_of: Option<String>,
}

/// A volume group as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeGroupTarget {
    /// The StoragePool.
    pub pool: Name,
    /// The group's name.
    pub name: String,
    /// Disks to make or extend it from. None: it must be there already.
    pub devices: Vec<AbsolutePath>,
    /// The replicated volume that it lies on, which `devices` are then the device of: other hosts see the group as soon
    /// as they open that volume. Its device may have grown, and the group takes that too.
    pub above: Option<Name>,
}

/// When a logical volume takes its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Now.
    Thick,
    /// When it is written to.
    Thin,
}

/// A logical volume as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalVolumeTarget {
    /// The Volume.
    pub volume: Name,
    /// The group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Bytes at least; it is rounded up to whole extents.
    pub size: u64,
    /// When it takes its space.
    pub space: Space,
}

/// A snapshot as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotTarget {
    /// What it is made for: a VolumeSnapshot, or the Volume whose replica is about to be overwritten.
    pub owner: Name,
    /// The group.
    pub group: String,
    /// The logical volume.
    pub of: String,
    /// Its own name.
    pub name: String,
    /// Bytes for what changes meanwhile.
    pub reserve: u64,
}

/// On how many hosts a logical volume on shared disks may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It cannot be opened here.
    Off,
    /// Here alone; the plan's epoch is the guard.
    Exclusive,
    /// Here and elsewhere.
    Shared,
}

/// Volume groups and logical volumes of this host.
pub trait Pools: Send + Sync {
    /// Every volume group: those on the host's disks, and on these replicated devices, which are open here.
    fn observe<'a>(&'a self, above: &'a [AbsolutePath]) -> Doing<'a, PoolsSeen>;

    /// The groups on the host's own disks alone.
    fn on_disks(&self) -> Doing<'_, Vec<VolumeGroupSeen>>;

    /// Disks that come and go, groups and volumes that change.
    fn watch(&self) -> Hints;

    /// Makes the group, or adds disks to it. A disk that holds anything that is not ours is refused.
    fn ensure_group<'a>(&'a self, target: &'a VolumeGroupTarget) -> Doing<'a, ()>;

    /// Makes the logical volume, or grows it; never shrinks it, never touches one that is not ours.
    fn ensure_volume<'a>(&'a self, target: &'a LogicalVolumeTarget) -> Doing<'a, ()>;

    /// Opens or closes it for use.
    fn activate<'a>(&'a self, group: &'a str, volume: &'a str, how: Activation) -> Doing<'a, ()>;

    /// Makes a snapshot.
    fn snapshot<'a>(&'a self, target: &'a SnapshotTarget) -> Doing<'a, ()>;

    /// Removes a logical volume or snapshot of ours, overwriting it before when asked.
    fn remove_volume<'a>(&'a self, group: &'a str, volume: &'a str, wipe: bool) -> Doing<'a, ()>;
}
