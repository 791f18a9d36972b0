//! What to do about a replica: rule R10 on this host.

use super::act::Act;
use super::verdict::{Case, Verdict};
use crate::drivers::{
    LogicalVolumeTarget, ReplicaSeen, ReplicaTarget, SnapshotTarget, Space, Trouble, metadata_of,
};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    ConnectionState, DiskState, MetadataPlace, Provisioning, ReplicaAssignment, ReplicaData,
    ReplicaRole, Size, Volume,
};
use std::sync::Arc;

pub(super) fn decide(case: &Case<'_>, assigned: &ReplicaAssignment) -> Verdict {
    let Some((group, logical)) = place(&assigned.backing_device) else {
        return Verdict::Waits(format!(
            "{} is not /dev/GROUP/VOLUME",
            assigned.backing_device
        ));
    };
    let seen = case.seen.replica(case.name());
    if !case.record.assignment.active {
        return release(case, assigned, seen, group, logical);
    }
    let volume = match case.planned(case.plan.volume(case.name().as_str()), |volume| {
        volume.metadata.generation
    }) {
        Ok(volume) => volume,
        Err(waits) => return Verdict::Waits(waits),
    };
    let wanted = bytes(&assigned.size);
    let target = || {
        Box::new(ReplicaTarget {
            name: case.name().clone(),
            node: case.host.clone(),
            spec: Arc::new(volume.spec.clone()),
            assignment: assigned.clone(),
            secret: None,
        })
    };
    // Closing comes before everything else, and is not kept from us by anything that is yet to be made.
    if let Some(seen) = seen
        && seen.role == ReplicaRole::Primary
        && assigned.role != ReplicaRole::Primary
    {
        return Verdict::Do(Act::Demote(case.name().clone()));
    }
    let there = case.seen.volume(group, logical);
    if let Some(there) = there
        && there.owner.object() != Some(case.name())
        && volume.spec.logical_volume.is_none()
    {
        return Verdict::Ended(
            Trouble::ForeignInTheWay,
            format!(
                "{} is there already and was not made for this volume",
                assigned.backing_device
            ),
        );
    }
    let backing = backing_size(volume, assigned, wanted);
    if there.is_none_or(|there| there.size < backing) {
        return Verdict::Do(Act::EnsureVolume(LogicalVolumeTarget {
            volume: case.name().clone(),
            group: group.to_owned(),
            name: logical.to_owned(),
            size: backing,
            space: space(case, volume),
        }));
    }
    if volume.spec.replication.metadata == MetadataPlace::External {
        let size = own_data(assigned, wanted);
        let name = metadata_of(logical);
        let there = case.seen.volume(group, &name);
        if there.is_none_or(|there| there.size < size) {
            return Verdict::Do(Act::EnsureVolume(LogicalVolumeTarget {
                volume: case.name().clone(),
                group: group.to_owned(),
                name,
                size,
                space: space(case, volume),
            }));
        }
    }
    let Some(seen) = seen else {
        return Verdict::Do(if case.work.created {
            Act::AdjustReplica(target())
        } else {
            Act::CreateReplica(target())
        });
    };
    if let Some(number) = assigned.give_up
        && seen.peers.iter().any(|peer| peer.split_brain)
    {
        return give_up(case, assigned, number, group, logical);
    }
    if !case.work.adjusted
        || !seen.as_adjusted
        || seen.two_primaries != assigned.allow_two_primaries
    {
        return Verdict::Do(Act::AdjustReplica(target()));
    }
    if assigned.outdate
        && matches!(seen.disk, DiskState::UpToDate | DiskState::Consistent)
        && seen.role != ReplicaRole::Primary
        && !connected(seen)
    {
        return Verdict::Do(Act::Outdate(case.name().clone()));
    }
    if assigned.role == ReplicaRole::Primary && seen.role != ReplicaRole::Primary {
        return promote(case, seen);
    }
    if seen.size < wanted && whole(seen) {
        return Verdict::Do(Act::Resize(case.name().clone()));
    }
    // How fast it catches up comes after what it is waited for.
    if !seen.paced {
        return Verdict::Do(Act::AdjustReplica(target()));
    }
    if let Some(number) = assigned.verify
        && seen.verify.as_ref().map(|seen| seen.number) != Some(number)
    {
        return Verdict::Do(Act::Verify(case.name().clone(), number));
    }
    Verdict::Converged
}

/// A replica that has met its peer again is brought up to date by it; the order to outdate it is over, only not heard
/// of yet. DRBD refuses it.
fn connected(seen: &ReplicaSeen) -> bool {
    seen.peers
        .iter()
        .any(|peer| peer.connection == ConnectionState::Connected)
}

/// Rule R10: what is known to be old is not even asked to open. As soon as it has caught up, it is opened.
fn promote(case: &Case<'_>, seen: &ReplicaSeen) -> Verdict {
    match seen.disk {
        DiskState::Inconsistent | DiskState::Outdated | DiskState::Failed => {
            Verdict::Waits(format!(
                "its data is {:?} here, and it is opened only on current data",
                seen.disk
            ))
        }
        _ => Verdict::Do(Act::Promote(case.name().clone())),
    }
}

fn release(
    case: &Case<'_>,
    assigned: &ReplicaAssignment,
    seen: Option<&ReplicaSeen>,
    group: &str,
    logical: &str,
) -> Verdict {
    match seen {
        Some(seen) if seen.role == ReplicaRole::Primary => {
            return Verdict::Do(Act::Demote(case.name().clone()));
        }
        Some(_) => return Verdict::Do(Act::TakeDown(case.name().clone())),
        None if case.work.unclear => return Verdict::Do(Act::TakeDown(case.name().clone())),
        None => {}
    }
    if assigned.data == ReplicaData::Keep {
        return Verdict::Released;
    }
    let wipe = assigned.data == ReplicaData::Wipe;
    for name in [logical.to_owned(), metadata_of(logical)] {
        let there = case.seen.volume(group, &name);
        if there.is_some_and(|there| there.owner.object() == Some(case.name())) {
            return Verdict::Do(Act::RemoveVolume(group.to_owned(), name, wipe));
        }
    }
    Verdict::Released
}

/// Rule R11: what the victim wrote is kept aside before it is given up.
fn give_up(
    case: &Case<'_>,
    assigned: &ReplicaAssignment,
    number: u64,
    group: &str,
    logical: &str,
) -> Verdict {
    let name = format!("{logical}-split-{number}");
    if case.seen.volume(group, &name).is_some() {
        return Verdict::Do(Act::Discard(case.name().clone()));
    }
    Verdict::Do(Act::Snapshot(SnapshotTarget {
        owner: case.name().clone(),
        group: group.to_owned(),
        of: logical.to_owned(),
        name,
        // The whole resync may overwrite everything.
        reserve: bytes(&assigned.size),
    }))
}

fn space(case: &Case<'_>, volume: &Volume) -> Space {
    match case.plan.pool(volume.spec.pool.as_str()) {
        Some(pool) if pool.spec.provisioning == Provisioning::Thin => Space::Thin,
        _ => Space::Thick,
    }
}

/// What replication keeps of its own: one bit for 4 KiB and peer, and less than a megabyte of everything else.
fn own_data(assigned: &ReplicaAssignment, size: u64) -> u64 {
    let peers = assigned.peers.len().max(1) as u64;
    peers * size.div_ceil(32 * 1024) + (1 << 20)
}

/// The device below, at whose end replication's own data may be.
fn backing_size(volume: &Volume, assigned: &ReplicaAssignment, size: u64) -> u64 {
    match volume.spec.replication.metadata {
        MetadataPlace::External => size,
        MetadataPlace::Internal => size + own_data(assigned, size),
    }
}

/// Only when every replica is there can the device take what all of them have grown to.
fn whole(seen: &ReplicaSeen) -> bool {
    seen.peers
        .iter()
        .all(|peer| peer.connection == ConnectionState::Connected)
}

/// Group and name of a logical volume.
pub(super) fn place(device: &AbsolutePath) -> Option<(&str, &str)> {
    let (group, logical) = device.as_str().strip_prefix("/dev/")?.split_once('/')?;
    (!group.is_empty() && !logical.is_empty() && !logical.contains('/')).then_some((group, logical))
}

pub(super) fn bytes(size: &Size) -> u64 {
    size.parse()
        .ok()
        .and_then(|size| size.as_u64())
        .unwrap_or(0)
}
