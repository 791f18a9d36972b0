//! The filesystem of a volume that is mounted on one host at a time (ext4, XFS).

use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, Presence, active, answer, held, is_true};
use crate::round::Round;
use crate::state::{Subject, SubjectKind};
use crate::volumes::{self, Asking};
use crate::{Reason, Why};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Assignment, LocalFilesystem, LocalFilesystemType, MountAssignment, NodeMode, Volume,
};

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    for (name, volume) in round.state.volumes.iter() {
        if let Some(filesystem) = &volume.spec.filesystem {
            one(round, outcome, (name, volume), filesystem);
        }
    }
}

fn one(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, volume): (&str, &Volume),
    filesystem: &LocalFilesystem,
) {
    let subject = Subject::new(SubjectKind::Mount, name);
    let wanted = !round.stopping() && volume.metadata.deletion_timestamp.is_none();
    let records = round.state.records_of(&subject);
    let mut holding = records
        .into_iter()
        .flatten()
        .filter(|(_, record)| held(&round.hosts, record));
    let holder = holding.next();
    let made = volume
        .status
        .as_ref()
        .is_some_and(|status| is_true(&status.conditions, "FilesystemMade"));
    let told = |host: &str, epoch: u64, active: bool| Assignment {
        object: subject.reference(),
        object_generation: volume.metadata.generation,
        epoch,
        active,
        after: vec![Subject::volume(name).reference()],
        network: None,
        storage: None,
        replica: None,
        mount: Some(MountAssignment {
            device: AbsolutePath(volumes::device(round, name, host)),
            filesystem: match filesystem.type_ {
                LocalFilesystemType::Ext4 => "ext4".to_owned(),
                LocalFilesystemType::Xfs => "xfs".to_owned(),
            },
            mount_point: filesystem.mount_point.clone(),
            options: filesystem.mount_options.clone(),
            make: !made,
            journals: None,
            lockspace: None,
            check: None,
        }),
        guest: None,
        secrets: Vec::new(),
    };
    if let Some((host, record)) = holder {
        outcome.uses(name, host);
        let known = round.hosts.get(host);
        let untouched = known.is_none_or(|known| {
            known.presence != Presence::Online || known.mode == NodeMode::Maintenance
        });
        let Some(written) = &record.spec.assignment else {
            return;
        };
        if untouched {
            return outcome.keep(round.state, &subject, host);
        }
        let elsewhere = known.is_some_and(|known| known.emptied());
        let stays = active(record)
            && wanted
            && !(elsewhere && best(round, name, volume, Some(host)).is_some());
        outcome.assign(
            round.state,
            &subject,
            host,
            told(host, written.epoch, stays),
        );
        let why = match (stays, answer(record) == Answer::Converged) {
            (true, true) => mounted(host),
            (true, false) => about(Reason::Mounting, &format!("{host} mounts its filesystem")),
            (false, _) => about(
                Reason::WaitingForRelease,
                &format!("{host} unmounts its filesystem"),
            ),
        };
        return outcome.why("Volume", name, why.reason, &why.message);
    }
    if !wanted {
        return;
    }
    match best(round, name, volume, None) {
        Some(host) => {
            let records = round.state.records_of(&subject);
            let last = records
                .into_iter()
                .flatten()
                .filter_map(|(_, record)| Some(record.spec.assignment.as_ref()?.epoch))
                .max();
            outcome.uses(name, host);
            let epoch = last.or(volume.status.as_ref().and_then(|it| it.epoch));
            let told = told(host, epoch.unwrap_or(0) + 1, true);
            outcome.assign(round.state, &subject, host, told);
            let why = about(Reason::Mounting, &format!("{host} mounts its filesystem"));
            outcome.event(round.now, Subject::volume(name).reference(), &why);
        }
        None => outcome.why(
            "Volume",
            name,
            Reason::NoHostFits,
            "its filesystem can be mounted nowhere at present",
        ),
    }
}

/// The best host for it: one that may take more, and whose replica is current.
fn best<'a>(round: &Round<'a>, name: &str, volume: &Volume, from: Option<&str>) -> Option<&'a str> {
    let fits = |host: &&str| {
        from != Some(*host)
            && round.hosts[host].takes_more()
            && volumes::unwritable(round, name, volume, host, Asking::coming_from(from)).is_none()
    };
    let listed = |host: &&str| {
        let nodes = &volume.spec.nodes;
        let place = nodes.iter().position(|node| node.as_str() == *host);
        place.unwrap_or(usize::MAX)
    };
    round.hosts.names().filter(fits).min_by_key(listed)
}

fn mounted(host: &str) -> Why {
    about(
        Reason::Mounted,
        &format!("its filesystem is mounted on {host}"),
    )
}

fn about(reason: Reason, message: &str) -> Why {
    Why {
        reason,
        message: message.to_owned(),
    }
}

/// Says in the volume's conditions that its filesystem was made, once it was mounted: it is never
/// made again.
pub(crate) fn remember(
    round: &Round<'_>,
    name: &str,
    conditions: &mut Vec<quorate_crds::Condition>,
) {
    let subject = Subject::new(SubjectKind::Mount, name);
    let records = round.state.records_of(&subject).into_iter().flatten();
    for (host, record) in records {
        if active(record) && answer(record) == Answer::Converged {
            let why = mounted(host);
            condition(conditions, "FilesystemMade", true, &why, round.now);
        }
    }
}
