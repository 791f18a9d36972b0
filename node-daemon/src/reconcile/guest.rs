//! What to do about a guest: rules R1, R5 and R12 on this host.

use super::act::Act;
use super::verdict::{Case, Verdict};
use crate::drivers::{
    DiskSource, GuestDoing, GuestSeen, GuestTarget, HowEnded, NicSource, SendTo, StartAs, Trouble,
    WhyPaused,
};
use crate::mistake::{Mistake, makes};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    DesiredState, DirectoryPurpose, Disk, GuestAssignment, GuestStep, Name, ReplicaRole,
    SharedFilesystem, Shutdown, ShutdownThen, VirtualMachine,
};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_STOP_TIME: Duration = Duration::from_secs(300);

pub(super) fn decide(case: &Case<'_>, assigned: &GuestAssignment) -> Verdict {
    if !case.record.assignment.active || assigned.step == GuestStep::Release {
        return release(case);
    }
    let guest = match case.planned(case.plan.guest(case.name().as_str()), |guest| {
        guest.metadata.generation
    }) {
        Ok(guest) => guest,
        Err(waits) => return Verdict::Waits(waits),
    };
    match assigned.step {
        GuestStep::Keep => keep(case, guest, assigned.desired_state),
        GuestStep::Receive => receive(case, guest, assigned),
        GuestStep::Send => send(case, guest, assigned),
        GuestStep::Release => release(case),
    }
}

fn keep(case: &Case<'_>, guest: &VirtualMachine, desired: DesiredState) -> Verdict {
    let epoch = case.record.assignment.epoch;
    let Some(seen) = case.seen.guest(case.name()) else {
        return absent(case, guest, None, desired);
    };
    if seen.doing.active() && (seen.migration.is_some() || case.work.long.is_some()) {
        return cancel_send(case);
    }
    let renewed = seen.epoch.is_none_or(|known| known < epoch);
    match seen.doing {
        GuestDoing::Off(how) => absent(case, guest, Some((seen, how)), desired),
        _ if desired == DesiredState::Stopped => stop(case, seen),
        GuestDoing::Stopping => Verdict::Waits("it is shutting down".to_owned()),
        GuestDoing::Running if desired == DesiredState::Paused => {
            Verdict::Do(Act::Pause(case.name().clone()))
        }
        GuestDoing::Running if case.begun.is_none() && makes(Mistake::NothingAdopted) => {
            Verdict::Do(Act::Destroy(case.name().clone()))
        }
        // Rule R12: whatever runs is adopted, under whichever epoch it was started.
        GuestDoing::Running => converged_as_defined(case, guest, seen),
        GuestDoing::Paused(WhyPaused::Incoming) => {
            Verdict::Waits("its memory is still arriving".to_owned())
        }
        // It may run at the other side, or have run: what is here is never let run on. Only a new epoch ends it.
        GuestDoing::Paused(WhyPaused::Sent) if renewed => {
            Verdict::Do(Act::Destroy(case.name().clone()))
        }
        GuestDoing::Paused(WhyPaused::Sent) => Verdict::Converged,
        GuestDoing::Paused(_) if desired == DesiredState::Paused => {
            converged_as_defined(case, guest, seen)
        }
        GuestDoing::Paused(WhyPaused::Asked | WhyPaused::Received) => {
            Verdict::Do(Act::Resume(case.name().clone()))
        }
        GuestDoing::Paused(WhyPaused::DiskError | WhyPaused::Unknown) if renewed => {
            Verdict::Do(Act::Destroy(case.name().clone()))
        }
        GuestDoing::Paused(WhyPaused::DiskError) => Verdict::Ended(
            Trouble::DeviceFailed,
            "it stands still because a disk gave an error".to_owned(),
        ),
        GuestDoing::Paused(WhyPaused::Unknown) => Verdict::Ended(
            Trouble::GuestNotRunning,
            "somebody else has paused it".to_owned(),
        ),
    }
}

fn converged_as_defined(case: &Case<'_>, guest: &VirtualMachine, seen: &GuestSeen) -> Verdict {
    let assignment = &case.record.assignment;
    let as_defined = seen.epoch == Some(assignment.epoch)
        && (seen.generation == guest.metadata.generation || case.work.adjusted);
    if as_defined {
        return Verdict::Converged;
    }
    match target(case, guest) {
        Ok(target) => Verdict::Do(Act::Define(Box::new(target))),
        Err(waits) => Verdict::Waits(waits),
    }
}

/// It is off, or not here at all. It is started once per epoch; after that, whatever ended it is said and the planner
/// decides.
fn absent(
    case: &Case<'_>,
    guest: &VirtualMachine,
    seen: Option<(&GuestSeen, HowEnded)>,
    desired: DesiredState,
) -> Verdict {
    let epoch = case.record.assignment.epoch;
    if desired == DesiredState::Stopped {
        return Verdict::Converged;
    }
    let never = seen.is_some_and(|(_, how)| how == HowEnded::NeverStarted);
    let spent = match case.begun {
        Some(begun) => begun >= epoch && !never,
        None => seen.is_some_and(|(seen, _)| seen.epoch == Some(epoch)) && !never,
    };
    let spent = spent && !makes(Mistake::EpochStartedAgain);
    if spent && seen.is_some_and(|(_, how)| how == HowEnded::Migrated) {
        // It was sent before this record came. Its memory is at the other side, and that is for the planner to end.
        return Verdict::Converged;
    }
    let how = seen.map_or(HowEnded::Unknown, |(_, how)| how);
    if spent && how == HowEnded::PoweredOff && case.work.shut_down_at.is_some() {
        // Nobody inside has decided that: it was to be off, and is wanted again.
        return Verdict::Ended(
            Trouble::GuestNotRunning,
            "it has shut down as it was asked to, before it was wanted again".to_owned(),
        );
    }
    if spent {
        return ended(how);
    }
    if let Some(failure) = case.work.failure.as_ref().filter(|_| case.work.stalled()) {
        return Verdict::Ended(failure.trouble, failure.message.clone());
    }
    let defined = seen.is_some_and(|(seen, _)| {
        seen.epoch == Some(epoch) && seen.generation == guest.metadata.generation
    });
    if !defined {
        return match target(case, guest) {
            Ok(target) => Verdict::Do(Act::Define(Box::new(target))),
            Err(waits) => Verdict::Waits(waits),
        };
    }
    let how = if desired == DesiredState::Paused {
        StartAs::Paused
    } else {
        StartAs::Running
    };
    Verdict::Do(Act::Start(case.name().clone(), how, epoch))
}

fn ended(how: HowEnded) -> Verdict {
    let (trouble, message) = match how {
        HowEnded::Crashed => (Trouble::GuestCrashed, "it crashed"),
        HowEnded::PoweredOff => (Trouble::GuestPoweredOff, "it was switched off from inside"),
        HowEnded::Destroyed => (
            Trouble::GuestNotRunning,
            "it was switched off from outside, and not by the plan",
        ),
        HowEnded::Migrated => (
            Trouble::GuestNotRunning,
            "it was moved to another host, and not by the plan",
        ),
        HowEnded::Failed | HowEnded::NeverStarted => {
            (Trouble::GuestNotRunning, "it could not be started")
        }
        HowEnded::Unknown => (Trouble::GuestCrashed, "it is gone, and nobody knows why"),
    };
    Verdict::Ended(trouble, message.to_owned())
}

fn receive(case: &Case<'_>, guest: &VirtualMachine, assigned: &GuestAssignment) -> Verdict {
    let Some(migration) = &assigned.migration else {
        return Verdict::Waits("the plan does not say where it comes from".to_owned());
    };
    match case.seen.guest(case.name()).map(|seen| seen.doing) {
        Some(GuestDoing::Paused(WhyPaused::Received)) if makes(Mistake::ArrivedRunsEarly) => {
            Verdict::Do(Act::Resume(case.name().clone()))
        }
        // Rule R1: here it stays still until the plan says that the source let go.
        Some(GuestDoing::Running) => Verdict::Do(Act::Pause(case.name().clone())),
        Some(GuestDoing::Paused(_)) => Verdict::Converged,
        Some(GuestDoing::Stopping) => Verdict::Waits("it is shutting down".to_owned()),
        Some(GuestDoing::Off(_)) | None if case.work.adjusted => Verdict::Converged,
        Some(GuestDoing::Off(_)) | None => match target(case, guest) {
            Ok(target) => Verdict::Do(Act::Receive(Box::new(target), migration.peer.clone())),
            Err(waits) => Verdict::Waits(waits),
        },
    }
}

fn send(case: &Case<'_>, guest: &VirtualMachine, assigned: &GuestAssignment) -> Verdict {
    let Some(migration) = &assigned.migration else {
        return Verdict::Waits("the plan does not say where it goes".to_owned());
    };
    let Some(seen) = case.seen.guest(case.name()) else {
        return ended(HowEnded::Unknown);
    };
    match seen.doing {
        GuestDoing::Paused(WhyPaused::Sent) | GuestDoing::Off(HowEnded::Migrated) => {
            Verdict::Converged
        }
        GuestDoing::Off(how) => ended(how),
        GuestDoing::Stopping => Verdict::Waits("it is shutting down".to_owned()),
        GuestDoing::Running | GuestDoing::Paused(_)
            if seen.migration.is_some() || case.work.long.is_some() =>
        {
            if migration.suspend && seen.doing == GuestDoing::Running {
                return Verdict::Do(Act::Pause(case.name().clone()));
            }
            Verdict::Waits(format!("its memory is on its way to {}", migration.peer))
        }
        // Whether it is tried again is the planner's decision.
        _ if let Some(failure) = &case.work.failure => {
            Verdict::Ended(Trouble::MigrationFailed, failure.message.clone())
        }
        GuestDoing::Running | GuestDoing::Paused(_) => match target(case, guest) {
            Ok(target) => Verdict::Do(Act::Send(
                Box::new(target),
                SendTo {
                    node: migration.peer.clone(),
                    addresses: migration.addresses.clone(),
                    bandwidth: migration.bandwidth.clone(),
                },
            )),
            Err(waits) => Verdict::Waits(waits),
        },
    }
}

/// It is not to be here. A guest that runs is shut down in order; one that stands still is ended.
fn release(case: &Case<'_>) -> Verdict {
    let Some(seen) = case.seen.guest(case.name()) else {
        return if case.work.unclear {
            Verdict::Do(Act::Destroy(case.name().clone()))
        } else {
            Verdict::Released
        };
    };
    match seen.doing {
        _ if seen.migration.is_some() || case.work.long.is_some() => cancel_send(case),
        GuestDoing::Off(_) if case.work.unclear => Verdict::Do(Act::Destroy(case.name().clone())),
        GuestDoing::Off(_) => Verdict::Do(Act::Forget(case.name().clone())),
        _ => stop(case, seen),
    }
}

fn cancel_send(case: &Case<'_>) -> Verdict {
    if case.work.asked.is_some() {
        return Verdict::Waits("sending it is being given up".to_owned());
    }
    Verdict::Do(Act::CancelSend(case.name().clone()))
}

fn stop(case: &Case<'_>, seen: &GuestSeen) -> Verdict {
    if let GuestDoing::Paused(_) = seen.doing {
        // What stands still hears no request.
        return Verdict::Do(Act::Destroy(case.name().clone()));
    }
    let shutdown = case
        .plan
        .guest(case.name().as_str())
        .map_or_else(Shutdown::default, |guest| guest.spec.shutdown.clone());
    let Some(asked) = case.work.asked else {
        return Verdict::Do(Act::ShutDown(case.name().clone(), shutdown.method));
    };
    if case.work.failure.is_some() && case.now < asked + stop_time(&shutdown) {
        return Verdict::Do(Act::ShutDown(case.name().clone(), shutdown.method));
    }
    let end = asked + stop_time(&shutdown);
    if case.now < end {
        return Verdict::Until(end, "it was asked to shut down".to_owned());
    }
    match shutdown.then {
        ShutdownThen::Destroy => Verdict::Do(Act::Destroy(case.name().clone())),
        ShutdownThen::Wait => Verdict::Ended(
            Trouble::GuestDoesNotStop,
            format!(
                "it was asked to shut down {} ago and runs on",
                shutdown.timeout
            ),
        ),
    }
}

fn stop_time(shutdown: &Shutdown) -> Duration {
    shutdown.timeout.parse().unwrap_or(DEFAULT_STOP_TIME)
}

fn target(case: &Case<'_>, guest: &VirtualMachine) -> Result<GuestTarget, String> {
    let mut disks = Vec::new();
    for disk in &guest.spec.disks {
        let volume = match (&disk.volume, &disk.size) {
            (Some(volume), _) => volume.clone(),
            (None, Some(_)) => Name(format!("{}-{}", case.name(), disk.name)),
            (None, None) => match file(case, disk) {
                Ok(Some(path)) => {
                    disks.push(DiskSource {
                        disk: disk.name.clone(),
                        path,
                    });
                    continue;
                }
                Ok(None) => continue,
                Err(waits) => return Err(waits),
            },
        };
        if let Some(path) = logical_volume(case, &volume) {
            disks.push(DiskSource {
                disk: disk.name.clone(),
                path,
            });
            continue;
        }
        let replica = case
            .seen
            .replica(&volume)
            .ok_or_else(|| format!("volume {volume} is not here yet"))?;
        // The record of the volume may be on its way still: a guest is never given a device that it cannot write.
        if replica.role != ReplicaRole::Primary {
            return Err(format!("volume {volume} is not open for writing here yet"));
        }
        disks.push(DiskSource {
            disk: disk.name.clone(),
            path: replica.device.clone(),
        });
    }
    let mut nics = Vec::new();
    for nic in &guest.spec.nics {
        nics.push(NicSource {
            nic: nic.name.clone(),
            bridge: bridge(case, &nic.network),
        });
    }
    Ok(GuestTarget {
        name: case.name().clone(),
        uid: guest.metadata.uid.clone().unwrap_or_default(),
        spec: Arc::new(guest.spec.clone()),
        generation: guest.metadata.generation.unwrap_or(0),
        epoch: case.record.assignment.epoch,
        disks,
        nics,
        display_password: None,
    })
}

/// The device of a volume that is a logical volume above another one. That it is open here is what the guest's record
/// waits for.
fn logical_volume(case: &Case<'_>, volume: &Name) -> Option<AbsolutePath> {
    let mut records = case.plan.records().values();
    records.find_map(|record| {
        let assigned = &record.assignment;
        let storage = assigned.storage.as_ref().filter(|_| assigned.active)?;
        let logical = storage.logical_volume.as_ref()?;
        (assigned.object.kind == "Volume" && assigned.object.name == *volume)
            .then(|| AbsolutePath(format!("/dev/{}/{logical}", storage.volume_group)))
    })
}

/// Where a disk is that is a file, or the medium in a drive. An empty drive is nowhere.
fn file(case: &Case<'_>, disk: &Disk) -> Result<Option<AbsolutePath>, String> {
    if let Some(file) = &disk.file {
        let filesystem = case
            .plan
            .filesystem(file.filesystem.as_str())
            .ok_or_else(|| format!("filesystem {} is not on this host yet", file.filesystem))?;
        let images = directory(filesystem, DirectoryPurpose::Images).unwrap_or("");
        return Ok(Some(joined(filesystem, images, &file.path)));
    }
    let Some(medium) = &disk.media else {
        return Ok(None);
    };
    let medium = medium.strip_prefix("media://").unwrap_or(medium);
    case.plan
        .filesystems()
        .find_map(|filesystem| {
            let media = directory(filesystem, DirectoryPurpose::Media)?;
            Some(Some(joined(filesystem, media, medium)))
        })
        .ok_or_else(|| {
            format!("no filesystem with a directory for Media is mounted on this host, to find {medium} on")
        })
}

fn directory(filesystem: &SharedFilesystem, purpose: DirectoryPurpose) -> Option<&str> {
    let directories = &filesystem.spec.directories;
    let found = directories
        .iter()
        .find(|directory| directory.purpose == purpose)?;
    Some(found.path.as_str())
}

fn joined(filesystem: &SharedFilesystem, directory: &str, file: &str) -> AbsolutePath {
    let parts = [filesystem.spec.mount_point.as_str(), directory, file];
    let path = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| part.trim_end_matches('/'))
        .collect::<Vec<_>>()
        .join("/");
    AbsolutePath(path)
}

/// The device of the network on this host: as planned, or as the host has it. What neither says has the network's own
/// name, as its manifest promises.
fn bridge(case: &Case<'_>, network: &Name) -> String {
    let planned = case.plan.records().values().find_map(|record| {
        let assigned = record.assignment.network.as_ref()?;
        (record.assignment.object.name == *network).then(|| assigned.device.clone())
    });
    planned
        .or_else(|| case.seen.network(network)?.status.device.clone())
        .unwrap_or_else(|| network.to_string())
}
