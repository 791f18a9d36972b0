//! Filesystems on volumes: those of one host at a time, and those that all hosts share.

mod local;
mod lockspace;
#[cfg(test)]
mod model;
mod shared;

pub(crate) use local::remember;

use crate::outcome::Outcome;
use crate::rights::{Answer, active, answer, observed};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use crate::volumes::Asking;
use quorate_crds::{MountState, VirtualMachine};

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    shared::plan(round, outcome);
    local::plan(round, outcome);
}

/// The shared filesystems on which a guest has files.
pub(crate) fn of(guest: &VirtualMachine) -> impl Iterator<Item = &str> {
    let disks = guest.spec.disks.iter();
    disks.filter_map(|disk| Some(disk.file.as_ref()?.filesystem.as_str()))
}

/// Why the guest's files cannot be used on that host now, if so.
pub(crate) fn obstacle(
    round: &Round<'_>,
    guest: &VirtualMachine,
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    of(guest).find_map(|name| {
        if !round.state.filesystems.contains_key(name) {
            return Some(format!("filesystem {name} does not exist"));
        }
        let subject = Subject::new(SubjectKind::Filesystem, name);
        let mounted = round.state.record(&subject, host).is_some_and(|record| {
            let incarnation = round.hosts.get(host).map(|host| host.incarnation);
            let said = match answer(record) {
                Answer::Converged => true,
                Answer::Nothing | Answer::Working => asking.at_work_counts,
                Answer::Released | Answer::Ended(..) => false,
            };
            active(record)
                && Some(record.spec.incarnation) == incarnation
                && said
                && is_mounted(round, record)
        });
        (!mounted).then(|| format!("has filesystem {name} not mounted yet"))
    })
}

/// Whether it was seen to be mounted, and no more has been heard of it since.
fn is_mounted(round: &Round<'_>, record: &Record) -> bool {
    let seen = observed(&round.hosts, record).and_then(|said| said.mount.as_ref());
    seen.is_some_and(|mount| mount.state == Some(MountState::Mounted))
}
