//! Filesystems on volumes: those of one host at a time, and those that all hosts share.

mod check;
mod local;
mod lockspace;
#[cfg(test)]
mod model;
mod shared;
mod shown;

pub(crate) use local::remember;

use crate::outcome::Outcome;
use crate::rights::{Answer, active, answer, observed};
use crate::round::Round;
use crate::state::{ClusterState, Record, Subject, SubjectKind};
use crate::volumes::Asking;
use quorate_crds::{DirectoryPurpose, MountState, QuotaMode, VirtualMachine};

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    shared::plan(round, outcome);
    local::plan(round, outcome);
}

/// The shared filesystems that a guest needs on its host: those of its disks, and the one for media where it has a medium.
pub(crate) fn of<'a>(
    state: &'a ClusterState,
    guest: &'a VirtualMachine,
) -> impl Iterator<Item = &'a str> {
    let medium = wants_medium(guest).then(|| of_media(state)).flatten();
    of_disks(guest).chain(medium)
}

/// The shared filesystems on which a guest has disks.
pub(crate) fn of_disks(guest: &VirtualMachine) -> impl Iterator<Item = &str> {
    let disks = guest.spec.disks.iter();
    disks.filter_map(|disk| Some(disk.file.as_ref()?.filesystem.as_str()))
}

fn wants_medium(guest: &VirtualMachine) -> bool {
    guest.spec.disks.iter().any(|disk| disk.media.is_some())
}

/// The filesystem on which media are: the first by name that has a directory for them.
fn of_media(state: &ClusterState) -> Option<&str> {
    let mut all = state.filesystems.iter();
    all.find_map(|(name, filesystem)| {
        let mut directories = filesystem.spec.directories.iter();
        let media = directories.any(|one| one.purpose == DirectoryPurpose::Media);
        media.then_some(name)
    })
}

/// Why the guest's files cannot be used on that host now, if so.
pub(crate) fn obstacle(
    round: &Round<'_>,
    guest: &VirtualMachine,
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    if wants_medium(guest) && of_media(round.state).is_none() {
        return Some("its medium is nowhere: no filesystem has a directory for Media".to_owned());
    }
    of(round.state, guest).find_map(|name| {
        if !round.state.filesystems.contains_key(name) {
            return Some(format!("filesystem {name} does not exist"));
        }
        if is_withdrawn(round, name, host) {
            return Some(format!("filesystem {name} has shut itself down there"));
        }
        let subject = Subject::new(SubjectKind::Filesystem, name);
        let mounted = round.state.record(&subject, host).is_some_and(|record| {
            let incarnation = round.hosts.get(host).map(|host| host.incarnation);
            let said = match answer(record) {
                // That something else about it is not as it should be does not unmount it.
                Answer::Converged | Answer::Ended(..) => true,
                Answer::Nothing | Answer::Working => asking.at_work_counts,
                Answer::Released => false,
            };
            active(record)
                && Some(record.spec.incarnation) == incarnation
                && said
                && is_mounted(round, record)
        });
        (!mounted).then(|| format!("has filesystem {name} not mounted yet"))
    })
}

/// The filesystem with disks of the guest that has shut itself down on that host, if one has.
pub(crate) fn withdrawn<'g>(
    round: &Round<'_>,
    guest: &'g VirtualMachine,
    host: &str,
) -> Option<&'g str> {
    of_disks(guest).find(|name| is_withdrawn(round, name, host))
}

fn is_withdrawn(round: &Round<'_>, name: &str, host: &str) -> bool {
    let record = round
        .state
        .record(&Subject::new(SubjectKind::Filesystem, name), host);
    let seen = record.and_then(|record| observed(&round.hosts, record)?.mount.as_ref());
    seen.is_some_and(|mount| mount.state == Some(MountState::Withdrawn))
}

/// The mount option by which the kernel counts and limits use. Left alone it does neither.
fn quota(mode: QuotaMode) -> Option<&'static str> {
    match mode {
        QuotaMode::Ignored => None,
        QuotaMode::Accounted => Some("quota=account"),
        QuotaMode::Enforced => Some("quota=on"),
    }
}

/// Whether it was seen to be mounted, and no more has been heard of it since.
fn is_mounted(round: &Round<'_>, record: &Record) -> bool {
    let seen = observed(&round.hosts, record).and_then(|said| said.mount.as_ref());
    seen.is_some_and(|mount| mount.state == Some(MountState::Mounted))
}
