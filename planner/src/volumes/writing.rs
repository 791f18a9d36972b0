//! Who may open a volume for writing: rules R1 and R10.

use super::view::alone;
use crate::above;
use crate::mistake::{Mistake, made};
use crate::rights::{Answer, active, answer, observed, writes};
use crate::round::Round;
use crate::state::{About, Subject};
use quorate_crds::{
    DiskState, ReplicaRole, ReplicaStatus, VirtualMachine, Volume, VolumeAccess, VolumeState,
};

/// What a host is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asking<'a> {
    /// The host that the guest comes from, and that lets go of its volumes before or while the
    /// guest moves: its writing is no obstacle, but then the data must be current on both.
    pub(crate) from: Option<&'a str>,
    /// A replica that was up just now counts as up while its host is at work on a newer record.
    pub(crate) at_work_counts: bool,
}

impl<'a> Asking<'a> {
    pub(crate) fn coming_from(from: Option<&'a str>) -> Self {
        Self {
            from,
            ..Self::default()
        }
    }
}

/// Why the guest's volumes cannot be written on that host now, if so.
pub(crate) fn obstacle(
    round: &Round<'_>,
    name: &str,
    guest: &VirtualMachine,
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    super::of(name, guest).find_map(|volume| match round.state.volumes.get(&volume) {
        None => Some(format!("volume {volume} does not exist")),
        Some(known) => unwritable(round, &volume, known, host, asking),
    })
}

/// Only a current member of the in-sync set, and nobody else beside it.
pub(crate) fn unwritable(
    round: &Round<'_>,
    name: &str,
    volume: &Volume,
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    if let Some(place) = above::place(round.state, volume) {
        return above::unusable(round, name, volume, place, host, asking);
    }
    let subject = Subject::volume(name);
    let status = &round.views[name];
    if status.replicas.is_empty() {
        return Some(format!("volume {name} is not made yet"));
    }
    if status.state == Some(VolumeState::SplitBrain) {
        return Some(format!("volume {name} is split: a person must choose"));
    }
    if volume.metadata.deletion_timestamp.is_some() {
        return Some(format!("volume {name} is being deleted"));
    }
    let replica = status
        .replicas
        .iter()
        .find(|replica| replica.node.as_str() == host);
    let Some(replica) = replica else {
        return Some(format!("keeps no replica of volume {name}"));
    };
    let record = round.state.record(&subject, host).filter(|record| {
        let incarnation = round.hosts.get(host).map(|host| host.incarnation);
        active(record) && Some(record.spec.incarnation) == incarnation
    });
    let there = record.is_some_and(|record| match asking.from {
        // It is being told to open beside the other one: what it said before that still counts.
        Some(_) => observed(&round.hosts, record).is_some_and(|said| said.replica.is_some()),
        None if asking.at_work_counts
            && matches!(answer(record), Answer::Nothing | Answer::Working) =>
        {
            observed(&round.hosts, record).is_some_and(|said| said.replica.is_some())
        }
        None => answer(record) == Answer::Converged,
    });
    if let Some(Answer::Ended(_, message)) = record.map(answer) {
        return Some(format!(
            "its replica of volume {name} does not come up: {message}"
        ));
    }
    if !there {
        return Some(format!("its replica of volume {name} is not up yet"));
    }
    if volume.spec.access == VolumeAccess::SingleWriter {
        let records = round.state.records_of(&subject).into_iter().flatten();
        for (other, record) in records {
            if other != host && asking.from != Some(other) && writes(&round.hosts, record) {
                return Some(format!("volume {name} may be open for writing on {other}"));
            }
        }
    }
    let member = status.in_sync.iter().any(|member| member.as_str() == host);
    if made(Mistake::StaleReplicaOpens) {
        return None;
    }
    if !member {
        return Some(format!("its replica of volume {name} is not in sync"));
    }
    let alone = alone(&round.hosts, status, host);
    match replica.disk {
        Some(DiskState::UpToDate) => None,
        Some(DiskState::Consistent) if alone && asking.from.is_none() => None,
        Some(DiskState::Consistent) if asking.from.is_none() => Some(format!(
            "its replica of volume {name} cannot know whether it holds every write until the \
             others are heard, or confirmed off"
        )),
        disk => {
            let disk = disk.unwrap_or(DiskState::Unknown);
            Some(format!(
                "its replica of volume {name} is {disk:?}, not UpToDate"
            ))
        }
    }
}

/// Whether both sides have said that two may have the volume open, and the second is current: only
/// then may it be opened beside the first.
pub(crate) fn ready_to_join(round: &Round<'_>, name: &str, first: &str, second: &str) -> bool {
    let Some(volume) = round.state.volumes.get(name) else {
        return false;
    };
    let asking = Asking::coming_from(Some(first));
    let open = |host: &str| {
        if made(Mistake::JoinsUnasked) {
            return true;
        }
        let converged = round
            .state
            .record(About::volume(name), host)
            .is_some_and(|record| {
                let assigned = record.spec.assignment.as_ref();
                assigned
                    .and_then(|it| it.replica.as_ref())
                    .is_some_and(|replica| replica.allow_two_primaries)
                    && answer(record) == Answer::Converged
            });
        converged
            && replica(round, name, host)
                .is_some_and(|replica| replica.two_primaries_allowed == Some(true))
    };
    (volume.spec.access == VolumeAccess::MultiWriter || (open(first) && open(second)))
        && unwritable(round, name, volume, second, asking).is_none()
}

/// Whether the volume is open on that host, as it says itself.
pub(crate) fn joined(round: &Round<'_>, name: &str, host: &str) -> bool {
    let volume = round.state.volumes.get(name);
    if volume.is_some_and(|volume| above::place(round.state, volume).is_some()) {
        return above::opened(round, name, host);
    }
    round
        .state
        .record(About::volume(name), host)
        .is_some_and(|record| {
            crate::rights::is_primary(record) && answer(record) == Answer::Converged
        })
        && replica(round, name, host)
            .is_some_and(|replica| replica.role == Some(ReplicaRole::Primary))
}

fn replica<'r>(round: &'r Round<'_>, name: &str, host: &str) -> Option<&'r ReplicaStatus> {
    round
        .views
        .get(name)?
        .replicas
        .iter()
        .find(|replica| replica.node.as_str() == host)
}
