//! What to do about a host's part of a pool, a logical volume on a device that several hosts see, or a snapshot.
//!
//! A volume group above a replicated volume is seen wherever that volume is open, and all who see it share its metadata.
//! The plan says of one record at a time that it may change these; everybody else waits until it sees the change.

use super::act::Act;
use super::replica::bytes;
use super::verdict::{Case, Verdict};
use crate::drivers::{
    Activation, LogicalVolumeSeen, LogicalVolumeTarget, SnapshotTarget, Space, Trouble,
    VolumeGroupTarget,
};
use quorate_crds::{ReplicaData, ReplicaRole, StorageAssignment};

pub(super) fn decide(case: &Case<'_>, assigned: &StorageAssignment) -> Verdict {
    match (&assigned.logical_volume, &assigned.snapshot_of) {
        (Some(name), Some(of)) => snapshot(case, assigned, name, of),
        (Some(logical), None) => shared_volume(case, assigned, logical),
        (None, _) => group(case, assigned),
    }
}

fn group(case: &Case<'_>, assigned: &StorageAssignment) -> Verdict {
    if !case.record.assignment.active {
        // The group stays as it is: what lies in it was released by records of its own.
        return Verdict::Released;
    }
    let pool = match case.planned(case.plan.pool(case.name().as_str()), |pool| {
        pool.metadata.generation
    }) {
        Ok(pool) => pool,
        Err(waits) => return Verdict::Waits(waits),
    };
    let seen = case.seen.group(&assigned.volume_group);
    if case.work.adjusted && seen.is_some() {
        return Verdict::Converged;
    }
    let devices = match &assigned.device {
        None => pool
            .spec
            .hosts
            .iter()
            .find(|part| part.node == *case.host)
            .map(|part| part.devices.clone())
            .unwrap_or_default(),
        Some(device) => {
            if let Some(waits) = closed_below(case) {
                return Verdict::Waits(waits);
            }
            match assigned.make {
                true => vec![device.clone()],
                // Here it is only looked at: another host makes it.
                false if seen.is_some_and(|seen| seen.owner.object() == Some(case.name())) => {
                    return Verdict::Converged;
                }
                false if seen.is_some() => {
                    return Verdict::Ended(
                        Trouble::ForeignInTheWay,
                        format!(
                            "there is a volume group {} on this host that is not of this pool",
                            assigned.volume_group
                        ),
                    );
                }
                false => {
                    let group = &assigned.volume_group;
                    return Verdict::Waits(format!("volume group {group} is not seen here yet"));
                }
            }
        }
    };
    Verdict::Do(Act::EnsureGroup(VolumeGroupTarget {
        pool: case.name().clone(),
        name: assigned.volume_group.clone(),
        devices,
        above: pool.spec.volume.clone(),
    }))
}

/// A snapshot is taken once. One that was taken and is gone is not taken again: it would show another moment.
fn snapshot(case: &Case<'_>, assigned: &StorageAssignment, name: &str, of: &str) -> Verdict {
    let group = &assigned.volume_group;
    let seen = case.seen.volume(group, name);
    let ours = seen.is_some_and(|seen| {
        seen.owner.object() == Some(case.name()) && seen.snapshot_of.as_deref() == Some(of)
    });
    match (case.record.assignment.active, seen) {
        (_, Some(_)) if !ours => Verdict::Ended(
            Trouble::ForeignInTheWay,
            format!("/dev/{group}/{name} is there already and is not this snapshot of {of}"),
        ),
        (true, Some(_)) => Verdict::Converged,
        (true, None) if assigned.make => Verdict::Do(Act::Snapshot(SnapshotTarget {
            owner: case.name().clone(),
            group: group.clone(),
            of: of.to_owned(),
            name: name.to_owned(),
            reserve: assigned.size.as_ref().map_or(0, bytes),
        })),
        (true, None) => Verdict::Ended(
            Trouble::DeviceMissing,
            format!("the snapshot /dev/{group}/{name} is not there any more"),
        ),
        (false, Some(_)) if assigned.data != ReplicaData::Keep => {
            let wipe = assigned.data == ReplicaData::Wipe;
            Verdict::Do(Act::RemoveVolume(group.clone(), name.to_owned(), wipe))
        }
        (false, _) => Verdict::Released,
    }
}

/// What is waited for while a volume below is not open for writing on this host.
fn closed_below(case: &Case<'_>) -> Option<String> {
    let below = case.record.assignment.after.iter();
    let mut below = below.filter(|object| object.kind == "Volume");
    below.find_map(|object| {
        let replica = case.seen.replica(&object.name);
        let open = replica.is_some_and(|replica| replica.role == ReplicaRole::Primary);
        (!open).then(|| {
            format!(
                "volume {} below is not open for writing here yet",
                object.name
            )
        })
    })
}

fn shared_volume(case: &Case<'_>, assigned: &StorageAssignment, logical: &str) -> Verdict {
    let group = &assigned.volume_group;
    let seen = case.seen.volume(group, logical);
    if let Some(seen) = seen
        && seen.owner.object() != Some(case.name())
    {
        return Verdict::Ended(
            Trouble::ForeignInTheWay,
            format!("/dev/{group}/{logical} is there already and was not made for this volume"),
        );
    }
    if !case.record.assignment.active {
        return release(case, assigned, logical, seen);
    }
    if let Some(waits) = closed_below(case) {
        return Verdict::Waits(waits);
    }
    let wanted = assigned.size.as_ref().map_or(0, bytes);
    match seen {
        Some(seen) if seen.size >= wanted && seen.active => Verdict::Converged,
        Some(seen) if seen.size >= wanted => Verdict::Do(Act::Activate(
            group.clone(),
            logical.to_owned(),
            Activation::Exclusive,
        )),
        _ if assigned.make => Verdict::Do(Act::EnsureVolume(LogicalVolumeTarget {
            volume: case.name().clone(),
            group: group.clone(),
            name: logical.to_owned(),
            size: wanted,
            space: Space::Thick,
        })),
        _ => Verdict::Waits(format!("/dev/{group}/{logical} is not seen here yet")),
    }
}

fn release(
    case: &Case<'_>,
    assigned: &StorageAssignment,
    logical: &str,
    seen: Option<&LogicalVolumeSeen>,
) -> Verdict {
    let group = &assigned.volume_group;
    // What is active holds the volume below open.
    let may_be_active = seen.is_some_and(|seen| seen.active) || case.work.unclear;
    if may_be_active && closed_below(case).is_none() {
        let (group, logical) = (group.clone(), logical.to_owned());
        return Verdict::Do(Act::Activate(group, logical, Activation::Off));
    }
    if assigned.data == ReplicaData::Keep {
        return Verdict::Released;
    }
    if let Some(waits) = closed_below(case) {
        // What cannot be seen cannot be known to be gone.
        return Verdict::Waits(waits);
    }
    match seen {
        Some(_) => Verdict::Do(Act::RemoveVolume(
            group.clone(),
            logical.to_owned(),
            assigned.data == ReplicaData::Wipe,
        )),
        None => Verdict::Released,
    }
}
