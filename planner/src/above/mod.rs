//! Volumes above a replicated volume: logical volumes of a volume group that lies on it (STO-9, STO-10).
//!
//! The hosts that have the volume below open see one group and share its metadata, and nothing but
//! the plan keeps them from changing it at once. Therefore:
//!
//! * A logical volume is active on one host, guarded by its epoch; on two only while its guest moves.
//! * Of all records about one group, one at a time says that something is made, grows, or is removed
//!   (`Turn`). The next one may only when that one has been answered, or its host is dead.
//! * The volume below stays open where the group is used, and is closed after everything in it.

mod group;
mod logical;
mod turn;
mod usable;

pub(crate) use usable::{opened, unusable};

use crate::outcome::Outcome;
use crate::round::Round;
use crate::state::ClusterState;
use crate::{Reason, Why};
use group::Group;
use quorate_crds::{
    Disk, PoolActivation, PoolType, Provisioning, StoragePool, Volume, VolumeAccess,
};
use std::collections::BTreeMap;

/// Where a volume lies: in that pool, above that volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) pool: &'a str,
    pub(crate) base: &'a str,
}

/// Where the volume lies, when it lies above another one.
pub(crate) fn place<'a>(state: &'a ClusterState, volume: &'a Volume) -> Option<Place<'a>> {
    let pool = volume.spec.pool.as_str();
    let base = base_of(state.pools.get(pool)?)?;
    Some(Place { pool, base })
}

/// The volume below the volume that a guest's disk is, also before that one is declared.
pub(crate) fn below_disk<'a>(
    state: &'a ClusterState,
    volume: &str,
    disk: &'a Disk,
) -> Option<&'a str> {
    let pool = match state.volumes.get(volume) {
        Some(known) => known.spec.pool.as_str(),
        None => disk.pool.as_ref()?.as_str(),
    };
    base_of(state.pools.get(pool)?)
}

fn base_of(pool: &StoragePool) -> Option<&str> {
    let base = pool.spec.volume.as_ref()?;
    (pool.spec.type_ == PoolType::Shared).then_some(base.as_str())
}

/// A pool on disks that several hosts see.
pub(crate) fn not_on_disks(pool: &str) -> Why {
    Why {
        reason: Reason::NotSupported,
        message: format!(
            "pool {pool} lies on disks that several hosts see: this release makes shared pools \
             above a replicated volume only (spec.volume)"
        ),
    }
}

/// What this release does not do above a volume, if the pool asks for it.
fn pool_refused(state: &ClusterState, name: &str, pool: &StoragePool, base: &str) -> Option<Why> {
    let message = if pool.spec.activation == PoolActivation::Shared {
        format!("pool {name}: a logical volume is active on one host; use activation Exclusive")
    } else if pool.spec.provisioning == Provisioning::Thin {
        format!("pool {name}: above a replicated volume space is taken at once; use Thick")
    } else if state
        .volumes
        .get(base)
        .is_some_and(|below| place(state, below).is_some())
    {
        format!("pool {name}: volume {base} below it lies above another volume itself")
    } else {
        return None;
    };
    let reason = Reason::NotSupported;
    Some(Why { reason, message })
}

/// What this release does not do with a volume above another one, if the manifest asks for it.
fn refused(state: &ClusterState, name: &str, volume: &Volume, place: Place<'_>) -> Option<Why> {
    let pool = state.pools.get(place.pool)?;
    if let Some(why) = pool_refused(state, place.pool, pool, place.base) {
        return Some(why);
    }
    let message = if volume.spec.access == VolumeAccess::MultiWriter {
        format!(
            "volume {name}: in pool {} it is written on one host; use SingleWriter",
            place.pool
        )
    } else if volume.spec.source.is_some() {
        format!(
            "volume {name}: this release fills no volumes in pool {}; remove source",
            place.pool
        )
    } else if volume.spec.filesystem.is_some() {
        format!(
            "volume {name}: this release mounts no filesystem in pool {}; use a pool of type Local",
            place.pool
        )
    } else {
        return None;
    };
    let reason = Reason::NotSupported;
    Some(Why { reason, message })
}

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let mut lying: BTreeMap<&str, Vec<(&str, &Volume)>> = BTreeMap::new();
    for (name, pool) in round.state.pools.iter() {
        if base_of(pool).is_some() {
            lying.insert(name, Vec::new());
        }
    }
    if lying.is_empty() {
        return;
    }
    for (name, volume) in round.state.volumes.iter() {
        if let Some(volumes) = lying.get_mut(volume.spec.pool.as_str()) {
            volumes.push((name, volume));
        }
    }
    for (name, volumes) in lying {
        let Some(pool) = round.state.pools.get(name) else {
            continue;
        };
        let Some(base) = base_of(pool) else { continue };
        let mut group = Group::of(round, Place { pool: name, base }, pool, &volumes);
        for volume in volumes {
            logical::plan(round, outcome, &mut group, volume);
        }
        group.plan(round, outcome);
    }
}
