//! Replicas of volumes: which hosts keep them, who may write, who is known to hold every write.

mod choice;

use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, Presence, answer, held, writes};
use crate::round::Round;
use crate::state::Subject;
use crate::{Reason, Why};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Assignment, ConnectionState, DiskState, Name, ReplicaAssignment, ReplicaData, ReplicaPeer,
    ReplicaRole, ReplicaStatus, VirtualMachine, Volume, VolumeAccess, VolumeState, VolumeStatus,
};
use std::collections::{BTreeMap, BTreeSet};

/// The volumes that a guest's disks are.
pub(crate) fn of<'a>(
    name: &'a str,
    guest: &'a VirtualMachine,
) -> impl Iterator<Item = String> + 'a {
    guest
        .spec
        .disks
        .iter()
        .filter_map(move |disk| match (&disk.volume, &disk.size) {
            (Some(volume), _) => Some(volume.to_string()),
            (None, Some(_)) => Some(format!("{name}-{}", disk.name)),
            (None, None) => None,
        })
}

/// Why the guest's volumes cannot be written on that host now, if so.
pub(crate) fn obstacle(
    round: &Round<'_>,
    name: &str,
    guest: &VirtualMachine,
    host: &str,
) -> Option<String> {
    of(name, guest).find_map(|volume| match round.state.volumes.get(&volume) {
        None => Some(format!("volume {volume} does not exist")),
        Some(known) => unwritable(round, &volume, known, host),
    })
}

/// Rules R1 and R10: only a current member of the in-sync set, and nobody else beside it.
fn unwritable(round: &Round<'_>, name: &str, volume: &Volume, host: &str) -> Option<String> {
    let subject = Subject::volume(name);
    let Some(status) = volume.status.as_ref() else {
        return Some(format!("volume {name} is not made yet"));
    };
    if status.state == Some(VolumeState::SplitBrain) {
        return Some(format!("volume {name} is split: a person must choose"));
    }
    let replica = status
        .replicas
        .iter()
        .find(|replica| replica.node.as_str() == host);
    let Some(replica) = replica else {
        return Some(format!("keeps no replica of volume {name}"));
    };
    let there = round.state.record(&subject, host).is_some_and(|record| {
        record.spec.incarnation == round.hosts[host].incarnation
            && answer(record) == Answer::Converged
    });
    if !there {
        return Some(format!("its replica of volume {name} is not up yet"));
    }
    if volume.spec.access == VolumeAccess::SingleWriter {
        let records = round.state.records_of(&subject).into_iter().flatten();
        for (other, record) in records {
            if other != host && writes(&round.hosts, record) {
                return Some(format!("volume {name} may be open for writing on {other}"));
            }
        }
    }
    if !status.in_sync.iter().any(|member| member.as_str() == host) {
        return Some(format!("its replica of volume {name} is not in sync"));
    }
    let alone = status
        .in_sync
        .iter()
        .filter(|member| member.as_str() != host)
        .all(|member| {
            let gone = round
                .hosts
                .get(member.as_str())
                .is_some_and(|host| host.presence == Presence::Fenced);
            gone || status
                .replicas
                .iter()
                .any(|replica| replica.node == *member && replica.disk == Some(DiskState::Outdated))
        });
    match replica.disk {
        Some(DiskState::UpToDate) => None,
        Some(DiskState::Consistent) if alone => None,
        disk => {
            let disk = disk.unwrap_or(DiskState::Unknown);
            Some(format!(
                "its replica of volume {name} is {disk:?}, not UpToDate"
            ))
        }
    }
}

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, guest) in &round.state.guests {
        let subject = Subject::guest(name);
        let wanted = outcome
            .assignments
            .get(&subject)
            .into_iter()
            .flat_map(BTreeMap::keys);
        let written = round.state.records_of(&subject).into_iter().flatten();
        let holding = written
            .filter(|(_, record)| held(&round.hosts, record))
            .map(|(host, _)| host);
        let on: BTreeSet<String> = wanted.chain(holding).cloned().collect();
        for volume in of(name, guest) {
            users.entry(volume).or_default().extend(on.iter().cloned());
        }
    }
    let mut choice = choice::Choice::of(round);
    for (name, volume) in &round.state.volumes {
        let old = volume.status.clone().unwrap_or_default();
        let mut status = old.clone();
        if let Err(why) = choice.settle(round, name, volume, &mut status) {
            outcome.why("Volume", name, why.reason, &why.message);
            condition(&mut status.conditions, "Ready", false, &why, round.now);
            outcome.status("Volume", name, &old, &status);
            continue;
        }
        doubt_the_lost(round, &mut status);
        let none = BTreeSet::new();
        let users = users.get(name).unwrap_or(&none);
        roles(round, outcome, name, volume, &mut status, users);
        let why = describe(&status);
        outcome.why("Volume", name, why.reason, &why.message);
        condition(
            &mut status.conditions,
            "InSync",
            why.reason == Reason::InSync,
            &why,
            round.now,
        );
        status.in_sync_summary = Some(format!(
            "{}/{}",
            status.in_sync.len(),
            status.replicas.len()
        ));
        outcome.status("Volume", name, &old, &status);
    }
}

/// Nobody knows what a host that is confirmed off has on its disks until it says so again.
fn doubt_the_lost(round: &Round<'_>, status: &mut VolumeStatus) {
    for replica in &mut status.replicas {
        let host = round.hosts.get(replica.node.as_str());
        if host.is_some_and(|host| host.presence == Presence::Fenced) {
            replica.role = Some(ReplicaRole::Unknown);
            replica.disk = Some(DiskState::Unknown);
            replica.connection = None;
        }
    }
}

fn roles(
    round: &Round<'_>,
    outcome: &mut Outcome,
    name: &str,
    volume: &Volume,
    status: &mut VolumeStatus,
    users: &BTreeSet<String>,
) {
    let subject = Subject::volume(name);
    let replicas = status.replicas.clone();
    let mut primaries: BTreeSet<&str> = BTreeSet::new();
    for replica in &replicas {
        let host = replica.node.as_str();
        let record = round.state.record(&subject, host);
        let held_before = record.and_then(|record| record.spec.assignment.as_ref());
        let was_primary = record.is_some_and(|record| held(&round.hosts, record))
            && held_before
                .and_then(|held| held.replica.as_ref())
                .map(|replica| replica.role)
                == Some(ReplicaRole::Primary);
        let unheard = round.hosts.get(host).is_none_or(|host| {
            matches!(host.presence, Presence::Silent | Presence::Away)
                || host.mode == quorate_crds::NodeMode::Maintenance
        });
        let open = users.contains(host) && unwritable(round, name, volume, host).is_none();
        let primary = if unheard {
            was_primary
        } else {
            users.contains(host) && (was_primary || open)
        };
        if primary {
            primaries.insert(host);
        }
        let mut epoch = held_before.map_or(0, |held| held.epoch);
        if primary && !was_primary {
            epoch = status.epoch.unwrap_or(0) + 1;
            status.epoch = Some(epoch);
        }
        let wanted = replica_assignment(round, name, volume, status, replica, epoch, primary);
        match (unheard, held_before) {
            (true, Some(held)) => outcome.assign(&subject, host, held.clone()),
            _ => outcome.assign(&subject, host, wanted),
        }
    }
    settle_in_sync(round, status, &primaries);
}

/// A replica leaves the set before another one writes without it, and comes back only when it is
/// connected and up to date. Nobody leaves while nobody writes, and the last one never leaves.
fn settle_in_sync(round: &Round<'_>, status: &mut VolumeStatus, primaries: &BTreeSet<&str>) {
    let mut members: BTreeSet<String> = status.in_sync.iter().map(ToString::to_string).collect();
    let current = |replica: &ReplicaStatus| {
        replica.disk == Some(DiskState::UpToDate)
            && round
                .hosts
                .get(replica.node.as_str())
                .is_some_and(|host| host.online())
    };
    for replica in &status.replicas {
        let host = replica.node.as_str();
        let fenced = round
            .hosts
            .get(host)
            .is_some_and(|host| host.presence == Presence::Fenced);
        let behind = matches!(
            replica.disk,
            Some(
                DiskState::Outdated
                    | DiskState::Inconsistent
                    | DiskState::Failed
                    | DiskState::Diskless
            )
        );
        let another = status.replicas.iter().any(|other| {
            other.node != replica.node && members.contains(other.node.as_str()) && current(other)
        });
        let written_elsewhere = primaries.iter().any(|primary| *primary != host)
            || (primaries.contains(host) && another);
        let left_alone = members.len() > 1;
        if (fenced || behind) && written_elsewhere && left_alone {
            members.remove(host);
        } else if current(replica) && replica.connection == Some(ConnectionState::Connected) {
            members.insert(host.to_owned());
        }
    }
    let members: Vec<Name> = members.into_iter().map(Name).collect();
    if members != status.in_sync {
        status.in_sync = members;
        status.in_sync_generation = Some(status.in_sync_generation.unwrap_or(0) + 1);
    }
}

fn replica_assignment(
    round: &Round<'_>,
    name: &str,
    volume: &Volume,
    status: &VolumeStatus,
    replica: &ReplicaStatus,
    epoch: u64,
    primary: bool,
) -> Assignment {
    let multi = volume.spec.access == VolumeAccess::MultiWriter;
    let peers = status
        .replicas
        .iter()
        .filter(|peer| peer.node != replica.node);
    Assignment {
        object: Subject::volume(name).reference(),
        object_generation: volume.metadata.generation,
        epoch,
        active: true,
        after: Vec::new(),
        network: None,
        storage: None,
        replica: Some(ReplicaAssignment {
            minor: status.minor.unwrap_or(0),
            port: status.port.unwrap_or(0),
            node_id: replica.node_id.unwrap_or(0),
            backing_device: AbsolutePath(choice::backing_device(
                round,
                name,
                volume,
                &replica.node,
            )),
            size: volume.spec.size.clone(),
            role: if primary {
                ReplicaRole::Primary
            } else {
                ReplicaRole::Secondary
            },
            allow_two_primaries: multi,
            begins_here: false,
            outdate: false,
            give_up: None,
            data: ReplicaData::Keep,
            peers: peers
                .map(|peer| ReplicaPeer {
                    node: peer.node.clone(),
                    node_id: peer.node_id.unwrap_or(0),
                    addresses: choice::addresses(round, volume, &peer.node),
                })
                .collect(),
        }),
        mount: None,
        guest: None,
        secrets: volume
            .spec
            .replication
            .authentication
            .secret
            .iter()
            .cloned()
            .collect(),
    }
}

fn describe(status: &VolumeStatus) -> Why {
    let members: Vec<&str> = status.in_sync.iter().map(Name::as_str).collect();
    let (reason, message) = if status.state == Some(VolumeState::SplitBrain) {
        (
            Reason::SplitBrain,
            "both sides have written; a person must choose".to_owned(),
        )
    } else if members.len() == status.replicas.len() {
        (Reason::InSync, "every replica holds every write".to_owned())
    } else {
        (
            Reason::Degraded,
            format!("every write is held by {} only", members.join(" and ")),
        )
    };
    Why { reason, message }
}
