//! What lies below and above replication: volume groups and logical volumes, filesystems, mounts and their locks.

use std::collections::BTreeMap;

use quorate_crds::{CheckResult, MountState, Name, scalar::AbsolutePath};

use super::{
    MachineRoom,
    refusal::Refusal,
    replica::{BLOCKS, Filesystem},
    request::Changed,
};
use crate::drivers::{
    CheckSeen, LockspaceSeen, LogicalVolumeSeen, MountSeen, Owner, SeenFilesystem, VolumeGroupSeen,
};

pub(crate) const EXTENT: u64 = 4 << 20;

#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) pool: String,
    pub(crate) devices: Vec<String>,
    pub(crate) volumes: BTreeMap<String, LogicalVolume>,
}

#[derive(Clone, Debug)]
pub(crate) struct LogicalVolume {
    pub(crate) owner: String,
    pub(crate) size: u64,
    pub(crate) active: bool,
    pub(crate) snapshot_of: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) owner: String,
    pub(crate) device: String,
    pub(crate) volume: String,
    pub(crate) filesystem: String,
    pub(crate) stage: Stage,
}

/// How far a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits in the kernel until its lockspace lets the host in.
    AtTheDoor,
    /// It was not let in: whoever mounts learns that it has failed.
    TurnedAway,
    Mounted,
    /// Its unmount waits in the kernel until its lockspace lets the host out.
    Leaving,
}

impl Mount {
    fn shared(&self) -> bool {
        shared(&self.filesystem)
    }

    pub(crate) fn mounted(&self) -> bool {
        matches!(self.stage, Stage::Mounted | Stage::Leaving)
    }

    /// Whether the kernel has it, be it only at the door.
    fn there(&self) -> bool {
        self.stage != Stage::TurnedAway
    }
}

fn shared(filesystem: &str) -> bool {
    matches!(filesystem.to_ascii_lowercase().as_str(), "gfs2" | "ocfs2")
}

impl MachineRoom {
    fn group_sizes(&self, host: &str, group: &Group) -> (u64, u64) {
        let disks = self.machines.get(host).map(|machine| &machine.layout.disks);
        let capacity = group
            .devices
            .iter()
            .filter_map(|path| disks?.get(path))
            .sum::<u64>();
        let taken = group.volumes.values().map(|volume| volume.size).sum();
        (capacity, capacity.saturating_sub(taken))
    }

    pub(crate) fn groups_on(&self, host: &str) -> Vec<VolumeGroupSeen> {
        let groups = self.groups.get(host).into_iter().flatten();
        let own = groups.map(|(name, group)| {
            let (capacity, free) = self.group_sizes(host, group);
            let volumes = group.volumes.iter().map(|(volume, known)| {
                let open = self
                    .volumes
                    .get(&known.owner)
                    .and_then(|volume| volume.replicas.get(host))
                    .is_some_and(|replica| replica.live.is_some());
                LogicalVolumeSeen {
                    name: volume.clone(),
                    owner: Owner::Ours(known.owner.as_str().into()),
                    size: known.size,
                    active: known.active,
                    open: open && known.snapshot_of.is_none(),
                    snapshot_of: known.snapshot_of.clone(),
                }
            });
            VolumeGroupSeen {
                name: name.clone(),
                owner: Owner::Ours(group.pool.as_str().into()),
                capacity,
                free,
                missing: Vec::new(),
                volumes: volumes.collect(),
            }
        });
        own.chain(self.shared_groups_on(host)).collect()
    }

    pub(crate) fn ensure_group(
        &mut self,
        host: &str,
        pool: &str,
        name: &str,
        devices: &[String],
    ) -> Result<(), Refusal> {
        if let [device] = devices
            && let Some(below) = self.volume_at(host, device)
        {
            return self.ensure_shared_group(host, pool, name, &below);
        }
        let disks = self.machine(host)?.layout.disks.clone();
        if let Some(missing) = devices
            .iter()
            .find(|path| !disks.contains_key(path.as_str()))
        {
            return Err(Refusal::NotThere(format!("{host} has no disk {missing}")));
        }
        let groups = self.groups.entry(host.to_owned()).or_default();
        if devices.is_empty() && !groups.contains_key(name) {
            return Err(Refusal::NotThere(format!(
                "{host} has no volume group {name}"
            )));
        }
        let group = groups.entry(name.to_owned()).or_default();
        group.pool = pool.to_owned();
        group.devices = devices.to_vec();
        self.touch(host, Changed::Anything);
        Ok(())
    }

    pub(crate) fn ensure_volume(
        &mut self,
        host: &str,
        group: &str,
        name: &str,
        wanted: LogicalVolume,
    ) -> Result<(), Refusal> {
        if self.sees_shared(host, group) {
            if wanted.snapshot_of.is_some() {
                return Err(Refusal::Foreign(format!(
                    "volume group {group} is shared: it takes no snapshots"
                )));
            }
            return self.ensure_shared_volume(host, group, name, &wanted.owner, wanted.size);
        }
        let known = self
            .groups
            .get(host)
            .and_then(|groups| groups.get(group))
            .ok_or_else(|| Refusal::NotThere(format!("{host} has no volume group {group}")))?;
        let (_, free) = self.group_sizes(host, known);
        let size = wanted.size.div_ceil(EXTENT) * EXTENT;
        let had = known.volumes.get(name).map_or(0, |volume| volume.size);
        if let Some(other) = known.volumes.get(name)
            && other.owner != wanted.owner
        {
            return Err(Refusal::Foreign(format!(
                "/dev/{group}/{name} belongs to {}",
                other.owner
            )));
        }
        if size > had && size - had > free {
            return Err(Refusal::NoSpace(format!(
                "/dev/{group}/{name} needs {} bytes more; volume group {group} has {free} left",
                size - had
            )));
        }
        let wanted = LogicalVolume {
            size: size.max(had),
            ..wanted
        };
        if let Some(group) = self
            .groups
            .get_mut(host)
            .and_then(|groups| groups.get_mut(group))
        {
            group.volumes.insert(name.to_owned(), wanted);
        }
        self.touch(host, Changed::Anything);
        Ok(())
    }

    pub(crate) fn remove_volume(
        &mut self,
        host: &str,
        group: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        if self.sees_shared(host, group) {
            return self.remove_shared_volume(group, name);
        }
        let Some(known) = self
            .groups
            .get_mut(host)
            .and_then(|groups| groups.get_mut(group))
        else {
            return Ok(());
        };
        let Some(volume) = known.volumes.get(name) else {
            return Ok(());
        };
        let owner = volume.owner.clone();
        let is_snapshot = volume.snapshot_of.is_some();
        let replica = self
            .volumes
            .get_mut(&owner)
            .and_then(|volume| volume.replicas.get_mut(host));
        if !is_snapshot && let Some(replica) = replica {
            if replica.live.is_some() {
                return Err(Refusal::Busy(format!(
                    "/dev/{group}/{name} carries the replica of volume {owner}"
                )));
            }
            replica.kept = None;
        }
        known.volumes.remove(name);
        self.touch(host, Changed::Anything);
        Ok(())
    }

    pub(crate) fn activate(
        &mut self,
        host: &str,
        group: &str,
        name: &str,
        active: bool,
    ) -> Result<(), Refusal> {
        if self.sees_shared(host, group) {
            return self.activate_shared(host, group, name, active);
        }
        let volume = self
            .groups
            .get_mut(host)
            .and_then(|groups| groups.get_mut(group))
            .and_then(|group| group.volumes.get_mut(name))
            .ok_or_else(|| Refusal::NotThere(format!("there is no /dev/{group}/{name}")))?;
        volume.active = active;
        self.touch(host, Changed::Anything);
        Ok(())
    }

    /// The volume whose device on that host this is.
    pub(crate) fn volume_at(&self, host: &str, path: &str) -> Option<String> {
        self.volumes
            .iter()
            .find(|(_, volume)| {
                volume
                    .devices
                    .get(host)
                    .is_some_and(|device| device == path)
            })
            .map(|(name, _)| name.clone())
    }

    /// A file of a filesystem that is mounted, a logical volume that is active, or a medium outside of the room.
    pub(crate) fn is_file(&self, host: &str, path: &str) -> bool {
        let mut mounts = self.mounts.get(host).into_iter().flatten();
        let in_mount = mounts.any(|(point, mount)| {
            mount.mounted() && path.starts_with(&format!("{}/", point.trim_end_matches('/')))
        });
        in_mount || self.is_logical_volume(host, path) || !path.starts_with("/dev/")
    }

    pub(crate) fn is_logical_volume(&self, host: &str, path: &str) -> bool {
        if self.below_path(host, path).is_some() {
            return true;
        }
        let mut groups = self.groups.get(host).into_iter().flatten();
        groups.any(|(group, known)| {
            known
                .volumes
                .iter()
                .any(|(name, volume)| volume.active && path == format!("/dev/{group}/{name}"))
        })
    }

    pub(crate) fn opens_for_writing(&self, host: &str, volume: &str) -> bool {
        self.volumes
            .get(volume)
            .and_then(|volume| volume.replicas.get(host))
            .is_some_and(super::replica::Replica::primary)
    }

    /// What has the volume open on that host.
    pub(crate) fn holder_of(&self, host: &str, volume: &str) -> Option<String> {
        let domains = self.domains.get(host).into_iter().flatten();
        let guest = domains
            .filter(|(_, domain)| domain.doing.active())
            .find(|(guest, _)| {
                self.volumes_of(host, guest)
                    .iter()
                    .any(|known| known == volume)
            })
            .map(|(guest, _)| format!("guest {guest}"));
        let mut mounts = self.mounts.get(host).into_iter().flatten();
        let mount = mounts
            .find(|(_, mount)| mount.there() && mount.volume == volume)
            .map(|(point, _)| format!("the filesystem at {point}"));
        guest.or(mount).or_else(|| self.active_above(host, volume))
    }

    pub(crate) fn read_device(&self, host: &str, path: &str) -> Option<SeenFilesystem> {
        let volume = self.volume_at(host, path)?;
        let replica = self.volumes.get(&volume)?.replicas.get(host)?;
        let filesystem = replica.kept.as_ref()?.filesystem.clone()?;
        Some(SeenFilesystem {
            lock_table: filesystem.lock_table,
            journals: shared(&filesystem.kind).then_some(16),
            filesystem: filesystem.kind,
            uuid: format!("simulated-{volume}"),
        })
    }

    pub(crate) fn make_filesystem(
        &mut self,
        host: &str,
        path: &str,
        filesystem: Filesystem,
    ) -> Result<(), Refusal> {
        let volume = self
            .volume_at(host, path)
            .ok_or_else(|| Refusal::NotThere(format!("{path} does not exist on {host}")))?;
        if !self.opens_for_writing(host, &volume) {
            return Err(Refusal::NoData(format!(
                "volume {volume} is not Primary on {host}"
            )));
        }
        let Some(known) = self.volumes.get_mut(&volume) else {
            return Ok(());
        };
        let own = known
            .replicas
            .get(host)
            .and_then(|replica| replica.kept.as_ref());
        if let Some(there) = own.and_then(|kept| kept.filesystem.clone())
            && there != filesystem
        {
            let there = there.kind;
            return Err(Refusal::Foreign(format!("{path} carries {there} already")));
        }
        let connected: Vec<String> = known
            .replicas
            .keys()
            .filter(|peer| {
                peer.as_str() == host
                    || known
                        .replicas
                        .get(host)
                        .is_some_and(|own| own.connected_to(peer))
            })
            .cloned()
            .collect();
        for peer in connected {
            if let Some(kept) = known
                .replicas
                .get_mut(&peer)
                .and_then(|replica| replica.kept.as_mut())
            {
                kept.filesystem = Some(filesystem.clone());
            }
        }
        Ok(())
    }

    /// Mounts it, or says `false` while its lockspace has not let the host in. It fails once where it was turned away.
    pub(crate) fn mount(
        &mut self,
        host: &str,
        point: &str,
        owner: &str,
        path: &str,
        filesystem: &str,
    ) -> Result<bool, Refusal> {
        if let Some(mounts) = self.mounts.get_mut(host)
            && let Some(mount) = mounts.get(point)
        {
            if mount.there() {
                return Ok(mount.mounted());
            }
            mounts.remove(point);
            return Err(Refusal::NotThere(format!(
                "{host} was not let into lockspace {owner}"
            )));
        }
        let volume = self
            .volume_at(host, path)
            .ok_or_else(|| Refusal::NotThere(format!("{path} does not exist on {host}")))?;
        if !self.opens_for_writing(host, &volume) {
            return Err(Refusal::NoData(format!(
                "volume {volume} is not Primary on {host}"
            )));
        }
        if self.read_device(host, path).is_none() {
            return Err(Refusal::NotThere(format!("{path} carries no filesystem")));
        }
        let mount = Mount {
            owner: owner.to_owned(),
            device: path.to_owned(),
            volume,
            filesystem: filesystem.to_owned(),
            stage: match shared(filesystem) {
                true => Stage::AtTheDoor,
                false => Stage::Mounted,
            },
        };
        let mounted = mount.mounted();
        if !mounted {
            let lockspaces = self.lockspaces.entry(host.to_owned()).or_default();
            lockspaces
                .entry(owner.to_owned())
                .or_insert_with(|| LockspaceSeen {
                    name: owner.into(),
                    ours: true,
                    generation: None,
                    running: false,
                    joining: true,
                    leaving: false,
                    members: Vec::new(),
                });
        }
        self.mounts
            .entry(host.to_owned())
            .or_default()
            .insert(point.to_owned(), mount);
        self.touch(host, Changed::Anything);
        Ok(mounted)
    }

    /// Unmounts it, or says `false` while its lockspace has not let the host out.
    pub(crate) fn unmount(&mut self, host: &str, point: &str) -> Result<bool, Refusal> {
        let Some(mount) = self
            .mounts
            .get_mut(host)
            .and_then(|mounts| mounts.get_mut(point))
        else {
            return Ok(true);
        };
        let owner = mount.owner.clone();
        let prefix = format!("{}/", point.trim_end_matches('/'));
        let user = self
            .domains
            .get(host)
            .into_iter()
            .flatten()
            .find(|(_, domain)| {
                domain.doing.active()
                    && domain
                        .defined
                        .disks
                        .iter()
                        .any(|disk| disk.starts_with(&prefix))
            });
        if let Some((guest, _)) = user {
            return Err(Refusal::Busy(format!(
                "guest {guest} has a file in it open"
            )));
        }
        let space = self
            .lockspaces
            .get_mut(host)
            .and_then(|spaces| spaces.get_mut(&owner));
        if mount.shared()
            && let Some(space) = space
        {
            mount.stage = Stage::Leaving;
            space.leaving = true;
            self.touch(host, Changed::Anything);
            return Ok(false);
        }
        if let Some(mounts) = self.mounts.get_mut(host) {
            mounts.remove(point);
        }
        self.touch(host, Changed::Anything);
        Ok(true)
    }

    /// It is sound. On real hosts a check beside a host that has it mounted destroys it: here that is refused.
    pub(crate) fn check_filesystem(
        &mut self,
        host: &str,
        owner: &str,
        path: &str,
        number: u64,
    ) -> Result<(), Refusal> {
        let volume = self
            .volume_at(host, path)
            .ok_or_else(|| Refusal::NotThere(format!("{path} does not exist on {host}")))?;
        let mut mounts = self.mounts.iter();
        let user = mounts.find(|(_, mounts)| {
            let mut mounts = mounts.values();
            mounts.any(|mount| mount.volume == volume && mount.there())
        });
        if let Some((user, _)) = user {
            return Err(Refusal::Busy(format!("{user} has {owner} mounted")));
        }
        if self.read_device(host, path).is_none() {
            return Err(Refusal::NotThere(format!("{path} carries no filesystem")));
        }
        let place = (host.to_owned(), owner.to_owned());
        self.checks.insert(place, number);
        self.touch(host, Changed::Anything);
        Ok(())
    }

    pub(crate) fn checks_on(&self, host: &str) -> Vec<CheckSeen> {
        let here = self.checks.iter().filter(|((place, _), _)| place == host);
        here.map(|((_, owner), number)| CheckSeen {
            owner: owner.as_str().into(),
            number: *number,
            runs: false,
            result: Some(CheckResult::Clean),
            message: None,
        })
        .collect()
    }

    pub(crate) fn mounts_on(&self, host: &str) -> Vec<MountSeen> {
        let mounts = self.mounts.get(host).into_iter().flatten();
        mounts
            .filter(|(_, mount)| mount.there())
            .map(|(point, mount)| MountSeen {
                owner: Owner::Ours(mount.owner.as_str().into()),
                device: AbsolutePath(mount.device.clone()),
                mount_point: AbsolutePath(point.clone()),
                filesystem: mount.filesystem.clone(),
                state: match mount.mounted() {
                    true => MountState::Mounted,
                    false => MountState::Mounting,
                },
                journal: None,
                journals: None,
                quota: None,
                options: None,
                refused: None,
                capacity: u64::from(BLOCKS),
                free: u64::from(BLOCKS),
            })
            .collect()
    }

    pub(crate) fn stop_lockspace(&mut self, host: &str, name: &str, generation: u64) {
        if let Some(space) = self
            .lockspaces
            .get_mut(host)
            .and_then(|spaces| spaces.get_mut(name))
        {
            space.running = false;
            space.generation = Some(generation);
            self.touch(host, Changed::Anything);
        }
    }

    pub(crate) fn start_lockspace(
        &mut self,
        host: &str,
        name: &str,
        generation: u64,
        members: Vec<Name>,
    ) -> Result<(), Refusal> {
        let space = self
            .lockspaces
            .get_mut(host)
            .and_then(|spaces| spaces.get_mut(name))
            .ok_or_else(|| {
                Refusal::NotThere(format!(
                    "{host} has no lockspace {name}: nothing is mounted"
                ))
            })?;
        // As the real driver: nobody's members change while locks are given.
        if space.running && space.generation != Some(generation) {
            return Err(Refusal::Busy(format!(
                "lockspace {name} gives locks on {host}: it is stopped before its members change"
            )));
        }
        let inside = members.iter().any(|member| member.as_str() == host);
        space.members = members;
        space.generation = Some(generation);
        space.running = true;
        if inside {
            space.joining = false;
            let mounts = self.mounts.get_mut(host).into_iter().flatten();
            let waiting = mounts.filter(|(_, mount)| mount.stage == Stage::AtTheDoor);
            for (_, mount) in waiting.filter(|(_, mount)| mount.owner == name) {
                mount.stage = Stage::Mounted;
            }
        }
        self.touch(host, Changed::Anything);
        Ok(())
    }

    pub(crate) fn leave_lockspace(&mut self, host: &str, name: &str) {
        if let Some(spaces) = self.lockspaces.get_mut(host) {
            spaces.remove(name);
        }
        if let Some(mounts) = self.mounts.get_mut(host) {
            mounts.retain(|_, mount| !(mount.owner == name && mount.stage == Stage::Leaving));
            let waiting = mounts.values_mut().filter(|mount| mount.owner == name);
            for mount in waiting.filter(|mount| mount.stage == Stage::AtTheDoor) {
                mount.stage = Stage::TurnedAway;
            }
        }
        self.touch(host, Changed::Anything);
    }
}
