//! Volume groups on replicated devices. Whoever has the device open sees the group and what is in it; what a guest writes
//! to a logical volume of it is written to the replicated volume.

use std::collections::{BTreeMap, BTreeSet};

use super::{MachineRoom, refusal::Refusal, request::Changed, storage::EXTENT};
use crate::drivers::{LogicalVolumeSeen, Owner, VolumeGroupSeen};

/// A volume group on a replicated volume.
#[derive(Clone, Debug)]
pub(crate) struct SharedGroup {
    pool: String,
    below: String,
    volumes: BTreeMap<String, SharedVolume>,
}

#[derive(Clone, Debug)]
struct SharedVolume {
    owner: String,
    size: u64,
    /// The hosts on which it can be opened.
    active: BTreeSet<String>,
}

impl MachineRoom {
    /// Makes the group on the device of that volume, unless it is there.
    pub(crate) fn ensure_shared_group(
        &mut self,
        host: &str,
        pool: &str,
        name: &str,
        below: &str,
    ) -> Result<(), Refusal> {
        if !self.opens_for_writing(host, below) {
            return Err(Refusal::NoData(format!(
                "volume {below} is not Primary on {host}"
            )));
        }
        let known = self.shared_groups.entry(name.to_owned());
        let group = known.or_insert_with(|| SharedGroup {
            pool: pool.to_owned(),
            below: below.to_owned(),
            volumes: BTreeMap::new(),
        });
        if group.below != below {
            return Err(Refusal::Foreign(format!(
                "volume group {name} lies on volume {}",
                group.below
            )));
        }
        self.tell_all_who_see(below);
        Ok(())
    }

    /// Whether the host sees a group of that name on a replicated volume.
    pub(crate) fn sees_shared(&self, host: &str, name: &str) -> bool {
        let group = self.shared_groups.get(name);
        group.is_some_and(|group| self.opens_for_writing(host, &group.below))
    }

    pub(crate) fn shared_groups_on(&self, host: &str) -> Vec<VolumeGroupSeen> {
        let groups = self.shared_groups.iter();
        groups
            .filter(|(name, _)| self.sees_shared(host, name))
            .map(|(name, group)| {
                let capacity = self.capacity_below(host, group);
                let taken: u64 = group.volumes.values().map(|volume| volume.size).sum();
                let volumes = group
                    .volumes
                    .iter()
                    .map(|(volume, known)| LogicalVolumeSeen {
                        name: volume.clone(),
                        owner: Owner::Ours(known.owner.as_str().into()),
                        size: known.size,
                        active: known.active.contains(host),
                        open: self.guest_on(host, name, volume).is_some(),
                        snapshot_of: None,
                    });
                VolumeGroupSeen {
                    name: name.clone(),
                    owner: Owner::Ours(group.pool.as_str().into()),
                    capacity,
                    free: capacity.saturating_sub(taken),
                    missing: Vec::new(),
                    volumes: volumes.collect(),
                }
            })
            .collect()
    }

    pub(crate) fn ensure_shared_volume(
        &mut self,
        host: &str,
        group: &str,
        name: &str,
        owner: &str,
        size: u64,
    ) -> Result<(), Refusal> {
        let known = self.shared_group(group)?.clone();
        let size = size.div_ceil(EXTENT) * EXTENT;
        let there = known.volumes.get(name);
        if let Some(other) = there.filter(|there| there.owner != owner) {
            return Err(Refusal::Foreign(format!(
                "/dev/{group}/{name} belongs to {}",
                other.owner
            )));
        }
        let had = there.map_or(0, |there| there.size);
        let taken: u64 = known.volumes.values().map(|volume| volume.size).sum();
        let free = self.capacity_below(host, &known).saturating_sub(taken);
        if size > had && size - had > free {
            return Err(Refusal::NoSpace(format!(
                "/dev/{group}/{name} needs {} bytes more; volume group {group} has {free} left",
                size - had
            )));
        }
        let volumes = &mut self.shared_group(group)?.volumes;
        let volume = volumes
            .entry(name.to_owned())
            .or_insert_with(|| SharedVolume {
                owner: owner.to_owned(),
                size,
                active: BTreeSet::new(),
            });
        volume.size = volume.size.max(size);
        volume.active.insert(host.to_owned());
        self.tell_all_who_see(&known.below);
        Ok(())
    }

    pub(crate) fn activate_shared(
        &mut self,
        host: &str,
        group: &str,
        name: &str,
        active: bool,
    ) -> Result<(), Refusal> {
        if let Some(guest) = self.guest_on(host, group, name).filter(|_| !active) {
            return Err(Refusal::Busy(format!(
                "/dev/{group}/{name} is held open by guest {guest}"
            )));
        }
        let volumes = &mut self.shared_group(group)?.volumes;
        let volume = volumes
            .get_mut(name)
            .ok_or_else(|| Refusal::NotThere(format!("there is no /dev/{group}/{name}")))?;
        match active {
            true => volume.active.insert(host.to_owned()),
            false => volume.active.remove(host),
        };
        self.touch(host, Changed::Anything);
        Ok(())
    }

    pub(crate) fn remove_shared_volume(&mut self, group: &str, name: &str) -> Result<(), Refusal> {
        let known = self.shared_group(group)?;
        let below = known.below.clone();
        if let Some(volume) = known.volumes.get(name).filter(|it| !it.active.is_empty()) {
            let hosts: Vec<&str> = volume.active.iter().map(String::as_str).collect();
            return Err(Refusal::Busy(format!(
                "/dev/{group}/{name} is active on {}",
                hosts.join(" and ")
            )));
        }
        known.volumes.remove(name);
        self.tell_all_who_see(&below);
        Ok(())
    }

    /// The replicated volume below the logical volume that is active on that host at this path.
    pub(crate) fn below_path(&self, host: &str, path: &str) -> Option<String> {
        self.shared_groups.iter().find_map(|(name, group)| {
            let mut volumes = group.volumes.iter();
            volumes
                .any(|(volume, known)| {
                    known.active.contains(host) && path == format!("/dev/{name}/{volume}")
                })
                .then(|| group.below.clone())
        })
    }

    /// A logical volume above that volume which is active on that host.
    pub(crate) fn active_above(&self, host: &str, below: &str) -> Option<String> {
        let groups = self.shared_groups.iter();
        let mut groups = groups.filter(|(_, group)| group.below == below);
        groups.find_map(|(name, group)| {
            let mut volumes = group.volumes.iter();
            let (volume, _) = volumes.find(|(_, known)| known.active.contains(host))?;
            Some(format!("/dev/{name}/{volume}"))
        })
    }

    /// The host's kernel is gone.
    pub(crate) fn forget_active(&mut self, host: &str) {
        for group in self.shared_groups.values_mut() {
            for volume in group.volumes.values_mut() {
                volume.active.remove(host);
            }
        }
    }

    fn shared_group(&mut self, name: &str) -> Result<&mut SharedGroup, Refusal> {
        self.shared_groups
            .get_mut(name)
            .ok_or_else(|| Refusal::NotThere(format!("there is no volume group {name}")))
    }

    fn capacity_below(&self, host: &str, group: &SharedGroup) -> u64 {
        let below = self.volumes.get(&group.below);
        below
            .and_then(|below| below.sizes.get(host))
            .map_or(0, |size| size / EXTENT * EXTENT)
    }

    fn guest_on(&self, host: &str, group: &str, name: &str) -> Option<String> {
        let path = format!("/dev/{group}/{name}");
        let mut domains = self.domains.get(host).into_iter().flatten();
        let (guest, _) = domains
            .find(|(_, domain)| domain.doing.active() && domain.defined.disks.contains(&path))?;
        Some(guest.clone())
    }

    fn tell_all_who_see(&mut self, below: &str) {
        let hosts: Vec<String> = self
            .machines
            .keys()
            .filter(|host| self.opens_for_writing(host, below))
            .cloned()
            .collect();
        for host in hosts {
            self.touch(&host, Changed::Anything);
        }
    }
}
