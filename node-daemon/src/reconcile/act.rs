use super::Subsystem;
use crate::drivers::{
    Activation, CheckTarget, FilesystemTarget, GuestTarget, LogicalVolumeTarget, MountTarget,
    NetworkTarget, ReplicaTarget, SendTo, SnapshotTarget, StartAs, VolumeGroupTarget,
};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{LockspaceAssignment, Name, ShutdownMethod};

/// One small change of the host.
#[derive(Clone, Debug)]
pub enum Act {
    /// Make a network so, on trial.
    ApplyNetwork(Box<NetworkTarget>),
    /// The trial was passed.
    KeepNetwork(Name),
    /// The trial was not passed, for this reason.
    TakeBackNetwork(Name, String),
    /// Take a network away.
    RemoveNetwork(Name),
    /// Make or extend a volume group.
    EnsureGroup(VolumeGroupTarget),
    /// Make or grow a logical volume.
    EnsureVolume(LogicalVolumeTarget),
    /// Open or close a logical volume on shared disks.
    Activate(String, String, Activation),
    /// Make a snapshot.
    Snapshot(SnapshotTarget),
    /// Remove a logical volume: group, name, and whether it is overwritten before.
    RemoveVolume(String, String, bool),
    /// Make a replica on its backing device.
    CreateReplica(Box<ReplicaTarget>),
    /// Bring a replica up as configured.
    AdjustReplica(Box<ReplicaTarget>),
    /// Open a replica for writing.
    Promote(Name),
    /// Close it for writing.
    Demote(Name),
    /// Take the new size of the backing devices.
    Resize(Name),
    /// Mark a replica's data as no longer current.
    Outdate(Name),
    /// Give up a replica's data.
    Discard(Name),
    /// Compare a replica with its peers', under that number.
    Verify(Name, u64),
    /// Take a replica down.
    TakeDown(Name),
    /// Mount a filesystem, after making it where there is none and the plan says so.
    Mount(Option<Box<FilesystemTarget>>, MountTarget),
    /// Give a filesystem the size, the journals and the directories that it needs.
    GrowFilesystem(FilesystemTarget),
    /// Mount it with other options.
    Remount(MountTarget),
    /// Check it, where nobody has it mounted.
    CheckFilesystem(CheckTarget),
    /// Unmount it.
    Unmount(AbsolutePath),
    /// Give no more locks.
    StopLocks(Name, u64),
    /// Give locks with these members.
    StartLocks(Name, Box<LockspaceAssignment>),
    /// Let an unmount out.
    LeaveLocks(Name, u64),
    /// Write a guest's definition.
    Define(Box<GuestTarget>),
    /// Start a guest, under that epoch.
    Start(Name, StartAs, u64),
    /// Stand it still.
    Pause(Name),
    /// Let it run on.
    Resume(Name),
    /// Ask it to shut down.
    ShutDown(Name, ShutdownMethod),
    /// Switch it off.
    Destroy(Name),
    /// Let it come from that host.
    Receive(Box<GuestTarget>, Name),
    /// Send it away.
    Send(Box<GuestTarget>, SendTo),
    /// Give up sending.
    CancelSend(Name),
    /// Forget its definition.
    Forget(Name),
}

/// An act for a record.
#[derive(Clone, Debug)]
pub struct Job {
    /// The record's name.
    pub record: String,
    /// What to do.
    pub act: Act,
    /// Written down before the act is begun: the guest, and the epoch that is spent by it.
    pub note: Option<(String, u64)>,
}

impl Act {
    /// Rule R5: whether it needs a fresh lease. Only what stops, closes or withdraws something does not.
    #[must_use]
    pub fn needs_lease(&self) -> bool {
        !matches!(
            self,
            Self::KeepNetwork(_)
                | Self::TakeBackNetwork(..)
                | Self::Activate(_, _, Activation::Off)
                | Self::Demote(_)
                | Self::Outdate(_)
                | Self::TakeDown(_)
                | Self::Unmount(_)
                | Self::StopLocks(..)
                | Self::LeaveLocks(..)
                | Self::Pause(_)
                | Self::ShutDown(..)
                | Self::Destroy(_)
                | Self::CancelSend(_)
                | Self::Forget(_)
        )
    }

    /// Whether it may take minutes while smaller acts on the same object go on beside it.
    #[must_use]
    pub fn is_long(&self) -> bool {
        // What needs locks waits for them in the kernel, and must not hold up that they are stopped and started.
        matches!(
            self,
            Self::Send(..)
                | Self::Mount(..)
                | Self::Unmount(_)
                | Self::GrowFilesystem(_)
                | Self::Remount(_)
                | Self::CheckFilesystem(_)
        )
    }

    /// What it may have changed.
    #[must_use]
    pub fn touches(&self) -> &'static [Subsystem] {
        match self {
            Self::ApplyNetwork(_)
            | Self::KeepNetwork(_)
            | Self::TakeBackNetwork(..)
            | Self::RemoveNetwork(_) => &[Subsystem::Networks],
            Self::EnsureGroup(_)
            | Self::EnsureVolume(_)
            | Self::Activate(..)
            | Self::Snapshot(_)
            | Self::RemoveVolume(..) => &[Subsystem::Pools],
            Self::CreateReplica(_)
            | Self::AdjustReplica(_)
            | Self::Promote(_)
            | Self::Demote(_)
            | Self::Resize(_)
            | Self::Outdate(_)
            | Self::Discard(_)
            | Self::Verify(..)
            | Self::TakeDown(_) => &[Subsystem::Replication],
            Self::Mount(..)
            | Self::GrowFilesystem(_)
            | Self::Remount(_)
            | Self::CheckFilesystem(_)
            | Self::Unmount(_)
            | Self::StopLocks(..)
            | Self::StartLocks(..)
            | Self::LeaveLocks(..) => &[Subsystem::Filesystems, Subsystem::Lockspaces],
            Self::Define(_)
            | Self::Start(..)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::ShutDown(..)
            | Self::Destroy(_)
            | Self::Receive(..)
            | Self::Send(..)
            | Self::CancelSend(_)
            | Self::Forget(_) => &[Subsystem::Guests],
        }
    }

    /// What it does, in one word for people.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::ApplyNetwork(_) => "apply",
            Self::KeepNetwork(_) => "keep",
            Self::TakeBackNetwork(..) => "take back",
            Self::RemoveNetwork(_) | Self::RemoveVolume(..) => "remove",
            Self::EnsureGroup(_) | Self::EnsureVolume(_) | Self::CreateReplica(_) => "make",
            Self::Activate(..) => "activate",
            Self::Snapshot(_) => "snapshot",
            Self::AdjustReplica(_) => "adjust",
            Self::Promote(_) => "promote",
            Self::Demote(_) => "demote",
            Self::Resize(_) | Self::GrowFilesystem(_) => "grow",
            Self::Outdate(_) => "outdate",
            Self::Discard(_) => "discard",
            Self::Verify(..) => "verify",
            Self::TakeDown(_) => "take down",
            Self::Mount(..) => "mount",
            Self::Remount(_) => "remount",
            Self::CheckFilesystem(_) => "check",
            Self::Unmount(_) => "unmount",
            Self::StopLocks(..) => "stop locks",
            Self::StartLocks(..) => "start locks",
            Self::LeaveLocks(..) => "leave locks",
            Self::Define(_) => "define",
            Self::Start(..) => "start",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::ShutDown(..) => "shut down",
            Self::Destroy(_) => "switch off",
            Self::Receive(..) => "receive",
            Self::Send(..) => "send",
            Self::CancelSend(_) => "cancel sending",
            Self::Forget(_) => "forget",
        }
    }
}
