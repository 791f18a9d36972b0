//! What to do about a mounted filesystem and the locks that hosts share for it.

use super::act::Act;
use super::replica::bytes;
use super::verdict::{Case, Verdict};
use crate::drivers::{
    CheckTarget, FilesystemTarget, LockTable, LockspaceSeen, MountSeen, MountTarget, Trouble,
};
use quorate_crds::{
    CheckAssignment, LockspaceAssignment, LockspaceStep, MountAssignment, MountState, QuotaMode,
};

pub(super) fn decide(case: &Case<'_>, assigned: &MountAssignment) -> Verdict {
    let mounted = case.seen.mount(&assigned.mount_point);
    let ours = mounted.is_some_and(|mounted| mounted.owner.object() == Some(case.name()));
    let locks = case.seen.lockspace(case.name());
    let locks = locks.filter(|_| assigned.lockspace.is_some());
    let checked = case.seen.check(case.name());
    if assigned.check.is_none() && checked.is_some_and(|check| check.runs) {
        return Verdict::Waits("it is being checked".to_owned());
    }
    if let Some(check) = assigned.check.filter(|_| case.record.assignment.active) {
        return self::check(case, assigned, check);
    }
    if !case.record.assignment.active {
        return release(case, assigned, ours, locks.filter(|locks| locks.ours));
    }
    if let Some(mounted) = mounted.filter(|_| !ours) {
        return Verdict::Ended(
            Trouble::ForeignInTheWay,
            format!("{} is mounted at {}", mounted.device, mounted.mount_point),
        );
    }
    if locks.is_some_and(|locks| !locks.ours) {
        return Verdict::Ended(
            Trouble::ForeignInTheWay,
            "another program drives a lockspace of this name: unmount its filesystem first"
                .to_owned(),
        );
    }
    if let Some(space) = &assigned.lockspace
        && let Some(verdict) = lockspace(case, space, locks)
    {
        return verdict;
    }
    match mounted.map(|mounted| mounted.state) {
        Some(MountState::Mounted) if let Some(verb) = case.work.long => {
            Verdict::Waits(format!("{verb} is under way"))
        }
        Some(MountState::Mounted) if mounted.is_some_and(|it| differs(it, assigned)) => {
            Verdict::Do(Act::Remount(target(case, assigned)))
        }
        Some(MountState::Mounted) if case.work.adjusted || !grows(case, assigned) => {
            Verdict::Converged
        }
        Some(MountState::Mounted) => Verdict::Do(Act::GrowFilesystem(filesystem(case, assigned))),
        Some(MountState::Withdrawn) => Verdict::Ended(
            Trouble::DeviceFailed,
            "the filesystem shut itself down on an error".to_owned(),
        ),
        Some(MountState::Mounting) => Verdict::Waits("it is being mounted".to_owned()),
        Some(MountState::Unmounting) => Verdict::Waits("it is being unmounted".to_owned()),
        _ if case.work.long.is_some() => Verdict::Waits("it is being mounted".to_owned()),
        Some(MountState::Unmounted) | None => Verdict::Do(Act::Mount(
            assigned.make.then(|| Box::new(filesystem(case, assigned))),
            target(case, assigned),
        )),
    }
}

fn target(case: &Case<'_>, assigned: &MountAssignment) -> MountTarget {
    MountTarget {
        owner: case.name().clone(),
        device: assigned.device.clone(),
        filesystem: assigned.filesystem.clone(),
        mount_point: assigned.mount_point.clone(),
        options: assigned.options.clone(),
        lockspace: assigned.lockspace.clone().map(Box::new),
    }
}

/// Whether the kernel was told other options than those that are planned. A mount of a former release is judged by how it counts.
fn differs(seen: &MountSeen, assigned: &MountAssignment) -> bool {
    match (&seen.options, seen.quota) {
        (Some(told), _) => *told != assigned.options,
        (None, Some(counted)) => counted != quota(&assigned.options),
        (None, None) => false,
    }
}

fn quota(options: &[String]) -> QuotaMode {
    let said = options.iter().find_map(|it| it.strip_prefix("quota="));
    match said {
        Some("on") => QuotaMode::Enforced,
        Some("account") => QuotaMode::Accounted,
        _ => QuotaMode::Ignored,
    }
}

/// Each is made once, and what came of it is said. One that a daemon began that was killed is begun anew when its program has ended.
fn check(case: &Case<'_>, assigned: &MountAssignment, wanted: CheckAssignment) -> Verdict {
    let seen = case.seen.check(case.name());
    let seen = seen.filter(|seen| seen.number == wanted.number);
    if seen.is_some_and(|seen| seen.result.is_some()) {
        return Verdict::Converged;
    }
    if let Some(mounted) = case.seen.mount(&assigned.mount_point) {
        return Verdict::Ended(
            Trouble::InUse,
            format!("{} is mounted at {}", mounted.device, mounted.mount_point),
        );
    }
    if case.work.long.is_some() {
        return Verdict::Waits("it is being checked".to_owned());
    }
    Verdict::Do(Act::CheckFilesystem(CheckTarget {
        owner: case.name().clone(),
        device: assigned.device.clone(),
        filesystem: assigned.filesystem.clone(),
        number: wanted.number,
        repair: wanted.repair,
    }))
}

/// One of the hosts that have it mounted does it for all.
fn grows(case: &Case<'_>, assigned: &MountAssignment) -> bool {
    let members = assigned.lockspace.as_ref().map(|space| &space.members);
    members
        .and_then(|members| members.first())
        .is_none_or(|first| first.node == *case.host)
}

/// What the lockspace needs before the mount is looked at; none: nothing.
///
/// A host that is no member yet mounts and waits in the kernel, at the door; one that has unmounted waits there to be let
/// out. Only what a member says counts for its start and stop.
fn lockspace(
    case: &Case<'_>,
    wanted: &LockspaceAssignment,
    seen: Option<&LockspaceSeen>,
) -> Option<Verdict> {
    let member = is_member(case, wanted);
    let Some(seen) = seen else {
        // Not here at all: for one that is to stop, that is all that is asked.
        let nothing_to_stop = member && wanted.step == LockspaceStep::Stop;
        return nothing_to_stop.then_some(Verdict::Converged);
    };
    let current = seen.generation == Some(wanted.generation);
    match wanted.step {
        LockspaceStep::Stop if member && (seen.running || !current) => Some(Verdict::Do(
            Act::StopLocks(case.name().clone(), wanted.generation),
        )),
        LockspaceStep::Stop if member => Some(Verdict::Converged),
        LockspaceStep::Start if member && (seen.joining || !seen.running || !current) => {
            Some(start(case, wanted))
        }
        _ if !member && seen.joining => Some(Verdict::Waits(
            "it waits until the hosts that have it mounted let it in".to_owned(),
        )),
        _ if member && seen.leaving => Some(Verdict::Waits(
            "somebody has unmounted it; it waits until the other hosts let it out".to_owned(),
        )),
        _ if !member => Some(Verdict::Do(Act::LeaveLocks(
            case.name().clone(),
            wanted.generation,
        )))
        .filter(|_| seen.leaving)
        .or_else(|| Some(Verdict::Waits("its locks are on their way out".to_owned()))),
        _ => None,
    }
}

fn is_member(case: &Case<'_>, wanted: &LockspaceAssignment) -> bool {
    let mut members = wanted.members.iter();
    members.any(|member| member.node == *case.host)
}

fn start(case: &Case<'_>, wanted: &LockspaceAssignment) -> Verdict {
    Verdict::Do(Act::StartLocks(
        case.name().clone(),
        Box::new(wanted.clone()),
    ))
}

/// An unmount needs locks: it comes first, and waits in the kernel at the door. Until the host is let out it stops and
/// starts with the others.
fn release(
    case: &Case<'_>,
    assigned: &MountAssignment,
    mounted: bool,
    locks: Option<&LockspaceSeen>,
) -> Verdict {
    if let (Some(wanted), Some(seen)) = (&assigned.lockspace, locks) {
        let current = seen.generation == Some(wanted.generation);
        match (is_member(case, wanted), wanted.step) {
            (true, LockspaceStep::Stop) if seen.running || !current => {
                return Verdict::Do(Act::StopLocks(case.name().clone(), wanted.generation));
            }
            (true, LockspaceStep::Stop) => return Verdict::Converged,
            (true, LockspaceStep::Start) if seen.joining || !seen.running || !current => {
                return start(case, wanted);
            }
            (true, LockspaceStep::Start) if seen.leaving => {
                return Verdict::Waits("it waits until the other hosts let it out".to_owned());
            }
            (false, _) if seen.leaving || seen.joining => {
                return Verdict::Do(Act::LeaveLocks(case.name().clone(), wanted.generation));
            }
            _ => {}
        }
    }
    if case.work.long.is_some() {
        return Verdict::Waits("it is being unmounted".to_owned());
    }
    if mounted || case.work.unclear {
        return Verdict::Do(Act::Unmount(assigned.mount_point.clone()));
    }
    if locks.is_some() {
        return Verdict::Waits("its locks are on their way out".to_owned());
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
    let manifest = case.plan.filesystem(case.name().as_str());
    FilesystemTarget {
        owner: case.name().clone(),
        device: assigned.device.clone(),
        filesystem: assigned.filesystem.clone(),
        lock_table: table,
        journals: assigned.journals,
        journal_size: manifest.map(|filesystem| bytes(&filesystem.spec.journal_size)),
        directories: manifest
            .iter()
            .flat_map(|filesystem| &filesystem.spec.directories)
            .map(|directory| directory.path.clone())
            .collect(),
    }
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
