use crate::drivers::{
    CheckSeen, DriverError, GuestSeen, LockspaceSeen, LogicalVolumeSeen, MountSeen, NetworkSeen,
    Owner, PoolsSeen, ReplicaSeen, VolumeGroupSeen,
};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{MountState, Name};

/// A subsystem of the host: what is observed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subsystem {
    /// Interfaces.
    Networks,
    /// Volume groups.
    Pools,
    /// Replicas.
    Replication,
    /// Mounts.
    Filesystems,
    /// Lockspaces.
    Lockspaces,
    /// Guests.
    Guests,
}

impl Subsystem {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Networks,
        Self::Pools,
        Self::Replication,
        Self::Filesystems,
        Self::Lockspaces,
        Self::Guests,
    ];

    /// What people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::Pools => "volume groups",
            Self::Replication => "replication",
            Self::Filesystems => "filesystems",
            Self::Lockspaces => "lockspaces",
            Self::Guests => "guests",
        }
    }
}

/// A look at one subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which one.
    pub subsystem: Subsystem,
    /// The replicated devices on which volume groups of ours lie, as far as they can be read.
    pub above: Vec<AbsolutePath>,
}

/// What one subsystem was seen to have.
#[derive(Debug)]
pub enum Observation {
    /// Interfaces.
    Networks(Vec<NetworkSeen>),
    /// Volume groups.
    Pools(PoolsSeen),
    /// Replicas.
    Replication(Vec<ReplicaSeen>),
    /// Mounts, and checks of what is not mounted.
    Filesystems(Vec<MountSeen>, Vec<CheckSeen>),
    /// Lockspaces.
    Lockspaces(Vec<LockspaceSeen>),
    /// Guests.
    Guests(Vec<GuestSeen>),
    /// It could not be looked at.
    Failed(Subsystem, DriverError),
}

impl Observation {
    /// Of which subsystem.
    #[must_use]
    pub fn subsystem(&self) -> Subsystem {
        match self {
            Self::Networks(_) => Subsystem::Networks,
            Self::Pools(_) => Subsystem::Pools,
            Self::Replication(_) => Subsystem::Replication,
            Self::Filesystems(..) => Subsystem::Filesystems,
            Self::Lockspaces(_) => Subsystem::Lockspaces,
            Self::Guests(_) => Subsystem::Guests,
            Self::Failed(subsystem, _) => *subsystem,
        }
    }
}

/// Everything that was seen last.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub(super) networks: Vec<NetworkSeen>,
    pub(super) groups: Vec<VolumeGroupSeen>,
    pub(super) replicas: Vec<ReplicaSeen>,
    pub(super) mounts: Vec<MountSeen>,
    pub(super) checks: Vec<CheckSeen>,
    pub(super) lockspaces: Vec<LockspaceSeen>,
    pub(super) guests: Vec<GuestSeen>,
}

fn is(owner: &Owner, name: &Name) -> bool {
    owner.object() == Some(name)
}

impl Seen {
    pub(super) fn network(&self, name: &Name) -> Option<&NetworkSeen> {
        self.networks.iter().find(|seen| is(&seen.owner, name))
    }

    pub(super) fn group(&self, name: &str) -> Option<&VolumeGroupSeen> {
        self.groups.iter().find(|seen| seen.name == name)
    }

    pub(super) fn volume(&self, group: &str, name: &str) -> Option<&LogicalVolumeSeen> {
        self.group(group)?
            .volumes
            .iter()
            .find(|seen| seen.name == name)
    }

    /// The replica of that volume.
    #[must_use]
    pub fn replica(&self, name: &Name) -> Option<&ReplicaSeen> {
        self.replicas.iter().find(|seen| is(&seen.owner, name))
    }

    pub(super) fn mount(&self, mount_point: &AbsolutePath) -> Option<&MountSeen> {
        self.mounts
            .iter()
            .find(|seen| seen.mount_point == *mount_point)
    }

    pub(super) fn check(&self, name: &Name) -> Option<&CheckSeen> {
        self.checks.iter().find(|seen| seen.owner == *name)
    }

    /// Whether that filesystem is mounted by us, and gives what is asked of it.
    pub(super) fn serves(&self, name: &Name) -> bool {
        let mut ours = self.mounts.iter().filter(|seen| is(&seen.owner, name));
        ours.any(|seen| seen.state == MountState::Mounted)
    }

    pub(super) fn lockspace(&self, name: &Name) -> Option<&LockspaceSeen> {
        self.lockspaces.iter().find(|seen| seen.name == *name)
    }

    /// Every replica.
    #[must_use]
    pub fn replicas(&self) -> &[ReplicaSeen] {
        &self.replicas
    }

    /// Every guest.
    #[must_use]
    pub fn guests(&self) -> &[GuestSeen] {
        &self.guests
    }

    /// The guest of that name.
    #[must_use]
    pub fn guest(&self, name: &Name) -> Option<&GuestSeen> {
        self.guests.iter().find(|seen| is(&seen.owner, name))
    }
}
