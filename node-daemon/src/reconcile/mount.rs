//! What to do about a mounted filesystem and the locks that hosts share for it.

use super::act::Act;
use super::replica::bytes;
use super::verdict::{Case, Verdict};
use crate::drivers::{FilesystemTarget, LockTable, LockspaceSeen, MountTarget, Trouble};
use quorate_crds::{LockspaceAssignment, LockspaceStep, MountAssignment, MountState};

pub(super) fn decide(case: &Case<'_>, assigned: &MountAssignment) -> Verdict {
    let mounted = case.seen.mount(&assigned.mount_point);
    let locks = case.seen.lockspace(case.name());
    if !case.record.assignment.active {
        return release(case, assigned, mounted.is_some(), locks);
    }
    if let Some(mounted) = mounted
        && mounted.owner.object() != Some(case.name())
    {
        return Verdict::Ended(
            Trouble::ForeignInTheWay,
            format!("{} is mounted at {}", mounted.device, mounted.mount_point),
        );
    }
    if let Some(space) = &assigned.lockspace
        && let Some(verdict) = lockspace(case, space, locks)
    {
        return verdict;
    }
    match mounted.map(|mounted| mounted.state) {
        Some(MountState::Mounted) if case.work.adjusted => Verdict::Converged,
        Some(MountState::Mounted) => Verdict::Do(Act::GrowFilesystem(filesystem(case, assigned))),
        Some(MountState::Withdrawn) => Verdict::Ended(
            Trouble::DeviceFailed,
            "the filesystem shut itself down on an error".to_owned(),
        ),
        Some(MountState::Mounting) => Verdict::Waits("it is being mounted".to_owned()),
        _ if case.work.long.is_some() => Verdict::Waits("it is being mounted".to_owned()),
        Some(MountState::Unmounted) | None => Verdict::Do(Act::Mount(
            assigned.make.then(|| Box::new(filesystem(case, assigned))),
            MountTarget {
                owner: case.name().clone(),
                device: assigned.device.clone(),
                filesystem: assigned.filesystem.clone(),
                mount_point: assigned.mount_point.clone(),
                options: assigned.options.clone(),
            },
        )),
    }
}

/// What the lockspace needs before the mount is looked at; none: nothing.
fn lockspace(
    case: &Case<'_>,
    wanted: &LockspaceAssignment,
    seen: Option<&LockspaceSeen>,
) -> Option<Verdict> {
    let current = seen.is_some_and(|seen| seen.generation == Some(wanted.generation));
    match (wanted.step, seen) {
        (LockspaceStep::Stop, Some(seen)) if seen.running || !current => Some(Verdict::Do(
            Act::StopLocks(case.name().clone(), wanted.generation),
        )),
        // Stopped, or not here at all: that is all that is asked.
        (LockspaceStep::Stop, _) => Some(Verdict::Converged),
        (LockspaceStep::Start, Some(seen)) if seen.joining || !seen.running || !current => {
            Some(Verdict::Do(Act::StartLocks(
                case.name().clone(),
                Box::new(wanted.clone()),
            )))
        }
        (LockspaceStep::Start, _) => None,
    }
}

fn release(
    case: &Case<'_>,
    assigned: &MountAssignment,
    mounted: bool,
    locks: Option<&LockspaceSeen>,
) -> Verdict {
    if let Some(locks) = locks.filter(|locks| locks.leaving) {
        let generation = assigned
            .lockspace
            .as_ref()
            .map_or(locks.generation.unwrap_or(0), |space| space.generation);
        return Verdict::Do(Act::LeaveLocks(case.name().clone(), generation));
    }
    if case.work.long.is_some() {
        return Verdict::Waits("it is being unmounted".to_owned());
    }
    if mounted || case.work.unclear {
        return Verdict::Do(Act::Unmount(assigned.mount_point.clone()));
    }
    Verdict::Released
}

fn filesystem(case: &Case<'_>, assigned: &MountAssignment) -> FilesystemTarget {
    let table = assigned.lockspace.as_ref().map(|space| {
        let (cluster, name) = space
            .table
            .split_once(':')
            .unwrap_or(("", space.table.as_str()));
        LockTable {
            cluster: cluster.to_owned(),
            filesystem: name.to_owned(),
        }
    });
    FilesystemTarget {
        owner: case.name().clone(),
        device: assigned.device.clone(),
        filesystem: assigned.filesystem.clone(),
        lock_table: table,
        journals: assigned.journals,
        journal_size: case
            .plan
            .filesystem(case.name().as_str())
            .map(|filesystem| bytes(&filesystem.spec.journal_size)),
    }
}
