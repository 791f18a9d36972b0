//! Where the replicas of a volume are kept, under which numbers, and how large they are.

use super::room::Room;
use super::{lifetime, source};
use crate::amounts::{bytes, words};
use crate::networks;
use crate::placement::barred;
use crate::round::Round;
use crate::snapshots::Taken;
use crate::state::Index;
use crate::{Reason, Why, above};
use quorate_crds::scalar::IpAddress;
use quorate_crds::{
    Name, NetworkRole, PoolState, PoolType, Provisioning, ReplicaStatus, Size, StoragePool, Volume,
    VolumeState, VolumeStatus,
};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers of which each is given once, the lowest first.
struct Numbers {
    taken: BTreeSet<u32>,
    next: u32,
}

impl Numbers {
    fn from(first: u32) -> Self {
        Self {
            taken: BTreeSet::new(),
            next: first,
        }
    }

    fn next(&mut self, last: u32) -> Option<u32> {
        let free = (self.next..=last).find(|number| !self.taken.contains(number))?;
        self.next = free;
        self.taken.insert(free);
        Some(free)
    }
}

/// What volumes have taken so far.
pub(crate) struct Choice {
    /// Per volume, the hosts on which all that use it may run, where that is restricted.
    wanted: BTreeMap<String, BTreeSet<String>>,
    minors: Numbers,
    ports: Numbers,
    promised: Index<String, Index<String, u64>>,
    snapshots: Taken,
    /// Why the volume at hand gets no more replicas.
    lacking: Option<Why>,
}

impl Choice {
    pub(crate) fn of(round: &Round<'_>) -> Self {
        let mut choice = Self {
            wanted: wanted(round),
            minors: Numbers::from(0),
            ports: Numbers::from(round.settings.replication.first_port),
            promised: Index::default(),
            snapshots: Taken::of(round.state),
            lacking: None,
        };
        for volume in round.state.volumes.values() {
            let Some(status) = &volume.status else {
                continue;
            };
            choice.minors.taken.extend(status.minor);
            choice.ports.taken.extend(status.port);
            let size = bytes(status.size.as_ref().unwrap_or(&volume.spec.size));
            for replica in &status.replicas {
                choice.promise(volume, &replica.node, size);
            }
        }
        choice
    }

    fn promise(&mut self, volume: &Volume, host: &Name, size: u64) {
        let pool = match self.promised.get_mut(volume.spec.pool.as_str()) {
            Some(pool) => pool,
            None => self
                .promised
                .entry(volume.spec.pool.to_string())
                .or_default(),
        };
        match pool.get_mut(host.as_str()) {
            Some(promised) => *promised += size,
            None => _ = pool.insert(host.to_string(), size),
        }
    }

    /// Gives a volume its hosts and numbers, and the place of a replica that cannot stay to another
    /// one. What was given once stays.
    pub(crate) fn settle(
        &mut self,
        round: &Round<'_>,
        name: &str,
        volume: &Volume,
        status: &mut VolumeStatus,
    ) -> Result<(), Why> {
        if volume.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        self.lacking = None;
        let new = status.replicas.is_empty();
        let first = match new {
            true => source::beginning(round, name, volume)?,
            false => None,
        };
        lifetime::forget_gone(round, name, volume, status);
        let wanted = status
            .replicas
            .iter()
            .filter(|replica| lifetime::wanted_on(round, volume, replica))
            .count();
        let missing = (volume.spec.replicas as usize).saturating_sub(wanted);
        if missing > 0 {
            let taken: Vec<&str> = status.replicas.iter().map(|it| it.node.as_str()).collect();
            match self.hosts(round, name, volume, (missing, &taken, first)) {
                Ok(hosts) => {
                    for host in hosts {
                        self.promise(volume, &host, bytes(&volume.spec.size));
                        let used =
                            |id: &u32| status.replicas.iter().all(|one| one.node_id != Some(*id));
                        let node_id = (0..).find(used);
                        status.replicas.push(ReplicaStatus {
                            node_id,
                            ..blank(host)
                        });
                    }
                }
                Err(why) if new => return Err(why),
                Err(why) => self.lacking = Some(why),
            }
        }
        if new {
            // Nothing is written yet, so that one replica is as good as any; the others follow it.
            let first = status.replicas.first();
            status.in_sync = first.map(|first| first.node.clone()).into_iter().collect();
            status.in_sync_generation = Some(1);
            status.size = Some(volume.spec.size.clone());
            status.state = Some(VolumeState::Pending);
        }
        if status.minor.is_none() {
            status.minor = self.minors.next(u32::MAX);
        }
        if status.port.is_none() {
            status.port = self.ports.next(65535);
        }
        Ok(())
    }

    /// Lets a volume grow when every host of its replicas has the space; says how that stands.
    pub(crate) fn grow(
        &mut self,
        round: &Round<'_>,
        volume: &Volume,
        status: &mut VolumeStatus,
    ) -> Option<Why> {
        let there = |size: &Option<Size>| size.as_ref() == Some(&volume.spec.size);
        if there(&status.size) && status.replicas.iter().all(|it| there(&it.size)) {
            return None;
        }
        let wanted = bytes(&volume.spec.size);
        let given = status.size.as_ref().map_or(wanted, bytes);
        if wanted > given {
            let more = wanted - given;
            for replica in &status.replicas {
                let room = self.room(round, volume, &replica.node);
                if room.free < more {
                    let message = format!(
                        "{}: growing by {} needs more than the {} that are left: {}",
                        replica.node,
                        words(more),
                        words(room.free),
                        room.arithmetic()
                    );
                    let reason = Reason::NoRoom;
                    return Some(Why { reason, message });
                }
            }
            for replica in &status.replicas {
                self.promise(volume, &replica.node, more);
            }
            status.size = Some(volume.spec.size.clone());
        }
        let behind: Vec<&str> = status
            .replicas
            .iter()
            .filter(|replica| {
                replica
                    .size
                    .as_ref()
                    .is_some_and(|size| bytes(size) < wanted)
            })
            .map(|replica| replica.node.as_str())
            .collect();
        (!behind.is_empty()).then(|| Why {
            reason: Reason::Growing,
            message: format!(
                "it is not yet {} on {}",
                words(wanted),
                behind.join(" and ")
            ),
        })
    }

    /// Why the volume that was settled last has fewer replicas than it should, if so.
    pub(crate) fn lacking(&mut self) -> Option<Why> {
        self.lacking.take()
    }

    fn room(&self, round: &Round<'_>, volume: &Volume, host: &Name) -> Room {
        let pool = volume.spec.pool.as_str();
        let known = round.state.pools.get(pool);
        let seen = known
            .and_then(|pool| pool.status.as_ref())
            .and_then(|status| status.hosts.iter().find(|seen| seen.node == *host));
        let capacity = seen
            .and_then(|seen| seen.capacity.as_ref())
            .map_or(0, bytes);
        let reserve = known.map_or(0, |pool| bytes(&pool.spec.reserve));
        let promised = self.promised.get(pool);
        let promised = promised.and_then(|hosts| hosts.get(host.as_str()));
        let promised = promised.copied().unwrap_or(0);
        let percent = known.map_or(100, |pool| percent(pool, volume));
        // Snapshots lie in what is reserved; when they are larger, all of them count.
        let reserve = reserve.max(self.snapshots.on(pool, host.as_str()));
        Room::of(capacity, percent, reserve, promised)
    }

    fn hosts(
        &self,
        round: &Round<'_>,
        name: &str,
        volume: &Volume,
        (count, taken, first): (usize, &[&str], Option<&Name>),
    ) -> Result<Vec<Name>, Why> {
        let refuse = |message: String| Why {
            reason: Reason::NoRoom,
            message,
        };
        let pool_name = volume.spec.pool.as_str();
        let Some(pool) = round.state.pools.get(pool_name) else {
            return Err(refuse(format!("pool {pool_name} does not exist")));
        };
        if pool.spec.type_ == PoolType::Shared {
            return Err(above::not_on_disks(pool_name));
        }
        let need = bytes(&volume.spec.size);
        let suits = |host: &Name| {
            let wanted = self.wanted.get(name);
            wanted.is_none_or(|wanted| wanted.contains(host.as_str()))
        };
        let mut fit: Vec<(bool, u64, &Name, Option<&str>)> = Vec::new();
        let mut obstacles = Vec::new();
        for part in &pool.spec.hosts {
            let listed = volume.spec.nodes.is_empty() || volume.spec.nodes.contains(&part.node);
            let host = round.hosts.get(part.node.as_str());
            let ready = host.filter(|host| host.takes_more());
            if taken.contains(&part.node.as_str()) {
                continue;
            }
            let seen = pool
                .status
                .as_ref()
                .and_then(|status| status.hosts.iter().find(|seen| seen.node == part.node));
            let room = self.room(round, volume, &part.node);
            if !listed {
                obstacles.push(format!("{}: is not among spec.nodes", part.node));
            } else if let Some(host) = ready
                && seen.is_some_and(|seen| seen.state == Some(PoolState::Ready))
            {
                if room.free >= need {
                    let site = host.node.spec.site.as_deref();
                    fit.push((suits(&part.node), room.free, &part.node, site));
                } else {
                    obstacles.push(format!(
                        "{}: needs {}; {}",
                        part.node,
                        words(need),
                        room.arithmetic()
                    ));
                }
            } else {
                obstacles.push(format!(
                    "{}: the host or its part of the pool is not ready",
                    part.node
                ));
            }
        }
        // Where those that use it may run comes first, then where most is left.
        fit.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then(a.2.cmp(b.2)));
        let mut chosen: Vec<(&Name, Option<&str>)> = Vec::new();
        if let Some(first) = first {
            let Some(place) = fit.iter().position(|(_, _, host, _)| *host == first) else {
                let text =
                    format!("volume {name} has to begin on {first}, where its source is kept");
                let own = obstacles
                    .into_iter()
                    .find(|text| text.starts_with(&format!("{first}: ")));
                let own =
                    own.unwrap_or_else(|| format!("{first} does not belong to pool {pool_name}"));
                return Err(refuse(format!("{text}: {own}")));
            };
            let (_, _, host, site) = fit.remove(place);
            chosen.push((host, site));
        }
        while chosen.len() < count && !fit.is_empty() {
            let suits = fit[0].0;
            let apart = fit.iter().position(|(as_well, _, _, site)| {
                *as_well == suits
                    && (site.is_none() || chosen.iter().all(|(_, taken)| taken != site))
            });
            let (_, _, host, site) = fit.remove(apart.unwrap_or(0));
            chosen.push((host, site));
        }
        if chosen.len() < count {
            if obstacles.is_empty() {
                obstacles.push(format!("no other host belongs to pool {pool_name}"));
            }
            return Err(refuse(format!(
                "volume {name} needs {count} hosts{}, {} fit: {}",
                if taken.is_empty() { "" } else { " more" },
                chosen.len(),
                obstacles.join("; ")
            )));
        }
        Ok(chosen.into_iter().map(|(host, _)| host.clone()).collect())
    }
}

/// How much of what the pool has may be promised, this volume included: more than there is only when
/// both say so by name.
fn percent(pool: &StoragePool, volume: &Volume) -> u64 {
    let thin = &pool.spec.thin;
    let more = pool.spec.provisioning == Provisioning::Thin && thin.allow_over_provisioning;
    match more && volume.spec.over_provision {
        true => u64::from(thin.max_percent),
        false => 100,
    }
}

/// Where guests with restricted domains or selectors, and shared filesystems, want their volumes.
fn wanted(round: &Round<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut narrow = |volume: String, hosts: BTreeSet<String>| {
        let known = wanted.get(&volume);
        let both = known.map(|known| known.intersection(&hosts).cloned().collect());
        wanted.insert(volume, both.unwrap_or(hosts));
    };
    for (name, guest) in round.state.guests.iter() {
        let placement = &guest.spec.placement;
        if placement.failover_domain.is_none() && placement.node_selector.is_empty() {
            continue;
        }
        for disk in &guest.spec.disks {
            let Some(volume) = super::of_disk(name, disk) else {
                continue;
            };
            let hosts = round.hosts.names();
            let hosts = hosts.filter(|host| barred(round, guest, host).is_none());
            let below = above::below_disk(round.state, &volume, disk);
            let below = below.map_or(volume, str::to_owned);
            narrow(below, hosts.map(str::to_owned).collect());
        }
    }
    for filesystem in round.state.filesystems.values() {
        if !filesystem.spec.nodes.is_empty() {
            let hosts = filesystem.spec.nodes.iter().map(ToString::to_string);
            narrow(filesystem.spec.volume.to_string(), hosts.collect());
        }
    }
    wanted
}

pub(crate) fn backing_device(
    round: &Round<'_>,
    name: &str,
    volume: &Volume,
    host: &Name,
) -> String {
    let pool = volume.spec.pool.as_str();
    let group = round.groups.of(pool, host.as_str());
    let logical = volume.spec.logical_volume.as_deref().unwrap_or(name);
    logical_volume(group, logical)
}

pub(super) fn logical_volume(group: &str, name: &str) -> String {
    format!("/dev/{group}/{name}")
}

/// Where a host is reached for replication, the preferred way first.
pub(crate) fn addresses(round: &Round<'_>, volume: &Volume, host: &Name) -> Vec<IpAddress> {
    let settings = &round.settings.replication;
    let own = volume.spec.replication.network.as_ref();
    let named = own.or(settings.network.as_ref()).map(Name::as_str);
    let host = host.as_str();
    let mut all = networks::addresses(round, host, named, &[NetworkRole::Storage]);
    // Both sides must name the ways in the same order: the other ring is none before the first is known.
    if settings.allow_fallback && !all.is_empty() {
        let other = networks::addresses(round, host, None, &[NetworkRole::BackChannel]);
        let other: Vec<_> = other.into_iter().filter(|one| !all.contains(one)).collect();
        all.extend(other);
    }
    all
}

/// A replica of which nothing is known yet.
pub(crate) fn blank(node: Name) -> ReplicaStatus {
    ReplicaStatus {
        node,
        node_id: None,
        role: None,
        disk: None,
        connection: None,
        peers: Vec::new(),
        size: None,
        two_primaries_allowed: None,
        asks_about: Vec::new(),
        device: None,
        backing_device: None,
        out_of_sync: None,
        sync: None,
        last_write: None,
        watched_since: None,
        verify: None,
        message: None,
    }
}
