//! What a host is told about a guest.

use super::Guest;
use crate::filesystems;
use crate::state::{Record, Subject, SubjectKind};
use crate::volumes;
use quorate_crds::{Assignment, DesiredState, GuestAssignment, GuestStep, MigrationAssignment};

/// What a host is told.
pub(crate) enum Told {
    /// See that it is as it should be.
    Run,
    /// Send it to the other side.
    Send(MigrationAssignment),
    /// Wait for it, paused.
    Receive(MigrationAssignment),
    /// It has been sent: see that it does not run here, and say so.
    HandOver(MigrationAssignment),
    /// What arrived of it is given up: throw it away, and say so.
    Discard,
    /// Shut it down, and say so.
    Stop,
}

pub(crate) fn assignment((name, guest): Guest<'_>, epoch: u64, told: Told) -> Assignment {
    let active = !matches!(told, Told::HandOver(_) | Told::Discard | Told::Stop);
    let (step, migration) = match told {
        Told::Run | Told::Stop => (GuestStep::Keep, None),
        Told::Send(migration) => (GuestStep::Send, Some(migration)),
        Told::Receive(migration) => (GuestStep::Receive, Some(migration)),
        Told::HandOver(migration) => (GuestStep::Release, Some(migration)),
        Told::Discard => (GuestStep::Release, None),
    };
    let files = filesystems::of_disks(guest)
        .map(|name| Subject::new(SubjectKind::Filesystem, name).reference());
    Assignment {
        object: Subject::guest(name).reference(),
        object_generation: guest.metadata.generation,
        epoch,
        active,
        after: volumes::of(name, guest)
            .map(|volume| Subject::volume(&volume).reference())
            .chain(files)
            .collect(),
        network: None,
        storage: None,
        replica: None,
        mount: None,
        guest: Some(GuestAssignment {
            desired_state: if active {
                guest.spec.desired_state
            } else {
                DesiredState::Stopped
            },
            step,
            migration,
        }),
        secrets: guest.spec.display.password.iter().cloned().collect(),
    }
}

/// What the record's host is told to do about the guest.
pub(crate) fn step(record: &Record) -> GuestStep {
    record
        .spec
        .assignment
        .as_ref()
        .and_then(|assigned| assigned.guest.as_ref())
        .map_or(GuestStep::Keep, |guest| guest.step)
}

/// The migration that the record's host takes part in.
pub(crate) fn migration(record: &Record) -> Option<&MigrationAssignment> {
    let guest = record.spec.assignment.as_ref()?.guest.as_ref()?;
    guest.migration.as_ref()
}

/// The migration in which this record's host has sent the guest away.
pub(crate) fn handed_over(record: &Record) -> Option<&MigrationAssignment> {
    (step(record) == GuestStep::Release).then(|| migration(record))?
}
