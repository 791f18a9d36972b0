//! What to do about a host's part of a pool, or a logical volume on shared disks.

use super::act::Act;
use super::replica::bytes;
use super::verdict::{Case, Verdict};
use crate::drivers::{Activation, LogicalVolumeTarget, Space, VolumeGroupTarget};
use quorate_crds::StorageAssignment;

pub(super) fn decide(case: &Case<'_>, assigned: &StorageAssignment) -> Verdict {
    match &assigned.logical_volume {
        Some(logical) => shared_volume(case, assigned, logical),
        None => group(case, assigned),
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
    let devices = pool
        .spec
        .hosts
        .iter()
        .find(|part| part.node == *case.host)
        .map(|part| part.devices.clone())
        .unwrap_or_default();
    if case.work.adjusted && case.seen.group(&assigned.volume_group).is_some() {
        return Verdict::Converged;
    }
    Verdict::Do(Act::EnsureGroup(VolumeGroupTarget {
        pool: case.name().clone(),
        name: assigned.volume_group.clone(),
        devices,
    }))
}

fn shared_volume(case: &Case<'_>, assigned: &StorageAssignment, logical: &str) -> Verdict {
    let group = &assigned.volume_group;
    let seen = case.seen.volume(group, logical);
    let activate = |how| Verdict::Do(Act::Activate(group.clone(), logical.to_owned(), how));
    if !case.record.assignment.active {
        return match seen {
            Some(seen) if seen.active => activate(Activation::Off),
            _ if case.work.unclear => activate(Activation::Off),
            _ => Verdict::Released,
        };
    }
    let wanted = assigned.size.as_ref().map_or(0, bytes);
    match seen {
        Some(seen) if seen.size >= wanted && seen.active => Verdict::Converged,
        Some(seen) if seen.size >= wanted => activate(Activation::Exclusive),
        _ => Verdict::Do(Act::EnsureVolume(LogicalVolumeTarget {
            volume: case.name().clone(),
            group: group.clone(),
            name: logical.to_owned(),
            size: wanted,
            space: Space::Thick,
        })),
    }
}
