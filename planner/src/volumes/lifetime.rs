//! Replicas that go: with their volume, with their host's leave, or because others took their place.

use super::view::current;
use crate::outcome::{Outcome, condition};
use crate::rights::{active, held};
use crate::round::Round;
use crate::state::About;
use crate::{ObjectKey, Reason, Why};
use quorate_crds::{
    DeletionPolicy, NodeMode, ReplicaData, ReplicaStatus, Volume, VolumeState, VolumeStatus,
};
use std::collections::{BTreeMap, BTreeSet};

/// A volume that is deleted goes when no host holds anything of it any more. Says whether it did.
pub(crate) fn over(
    round: &Round<'_>,
    outcome: &mut Outcome,
    name: &str,
    volume: &Volume,
    status: &mut VolumeStatus,
) -> bool {
    if volume.metadata.deletion_timestamp.is_none() {
        return false;
    }
    let records = round.state.records_of(About::volume(name));
    let holding = records
        .into_iter()
        .flatten()
        .any(|(_, record)| held(&round.hosts, record) || active(record));
    if holding {
        let users = outcome.users.get(name).into_iter().flatten();
        let users: Vec<&str> = users.map(String::as_str).collect();
        let why = Why {
            reason: Reason::Deleting,
            message: if users.is_empty() {
                "its replicas are being taken away".to_owned()
            } else {
                format!("something on {} still uses it", users.join(" and "))
            },
        };
        status.state = Some(VolumeState::Deleting);
        outcome.why("Volume", name, why.reason, &why.message);
        condition(&mut status.conditions, "Deleting", true, &why, round.now);
        return false;
    }
    outcome.decisions.delete.push(ObjectKey {
        kind: "Volume",
        name: name.to_owned(),
    });
    true
}

/// The hosts whose replica is to be taken down, each with what becomes of its data.
pub(crate) fn leaving(
    round: &Round<'_>,
    volume: &Volume,
    status: &VolumeStatus,
    users: &BTreeSet<String>,
) -> BTreeMap<String, ReplicaData> {
    let mut leaving = BTreeMap::new();
    let data = gone_data(round, volume);
    let idle = users.is_empty();
    if volume.metadata.deletion_timestamp.is_some() {
        let data = match volume.spec.deletion_policy {
            DeletionPolicy::Delete => data,
            DeletionPolicy::Retain => ReplicaData::Keep,
        };
        if idle {
            leaving.extend(
                status
                    .replicas
                    .iter()
                    .map(|one| (one.node.to_string(), data)),
            );
        }
        return leaving;
    }
    for replica in &status.replicas {
        let host = replica.node.as_str();
        let withdrawn = round
            .hosts
            .get(host)
            .is_some_and(|host| host.mode == NodeMode::Withdrawn);
        let another = status.replicas.iter().any(|other| {
            other.node != replica.node
                && status.in_sync.contains(&other.node)
                && current(&round.hosts, other)
        });
        let free = idle || (another && !users.contains(host));
        if (withdrawn && free) || (round.stopping() && idle) {
            leaving.insert(host.to_owned(), ReplicaData::Keep);
        }
    }
    for host in surplus(round, volume, status) {
        if !users.contains(&host) {
            leaving.insert(host, data);
        }
    }
    leaving
}

/// Replicas that others have taken the place of: as many as wanted hold every write without them.
fn surplus(round: &Round<'_>, volume: &Volume, status: &VolumeStatus) -> Vec<String> {
    let wanted = volume.spec.replicas as usize;
    let mut surplus = Vec::new();
    if status.replicas.len() <= wanted {
        return surplus;
    }
    let mut rest: Vec<&ReplicaStatus> = status.replicas.iter().collect();
    // Those that are not wanted first, then the newest.
    let mut order = rest.clone();
    order.sort_by_key(|replica| {
        (
            wanted_on(round, volume, replica),
            std::cmp::Reverse(replica.node_id),
        )
    });
    for replica in order {
        let going = already_going(round, volume, replica);
        let sound = rest
            .iter()
            .filter(|other| {
                other.node != replica.node
                    && status.in_sync.contains(&other.node)
                    && current(&round.hosts, other)
            })
            .count();
        // One that is wanted makes way only for others that are wanted too.
        let rivals = rest
            .iter()
            .filter(|other| !wanted_on(round, volume, replica) || wanted_on(round, volume, other))
            .count();
        if rivals > wanted && (sound >= wanted || going) {
            rest.retain(|other| other.node != replica.node);
            surplus.push(replica.node.to_string());
        }
    }
    surplus
}

fn already_going(round: &Round<'_>, volume: &Volume, replica: &ReplicaStatus) -> bool {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let record = round
        .state
        .record(About::volume(name), replica.node.as_str());
    let assigned = record.and_then(|record| record.spec.assignment.as_ref());
    assigned.is_some_and(|assigned| {
        let data = assigned.replica.as_ref().map(|replica| replica.data);
        !assigned.active && data.is_some_and(|data| data != ReplicaData::Keep)
    })
}

/// Whether the volume may be kept on that replica's host.
pub(crate) fn wanted_on(round: &Round<'_>, volume: &Volume, replica: &ReplicaStatus) -> bool {
    let listed = volume.spec.nodes.is_empty() || volume.spec.nodes.contains(&replica.node);
    listed && round.hosts.get(replica.node.as_str()).is_some()
}

/// Replicas that are gone leave the list: their data is removed, or their host is no more.
pub(crate) fn forget_gone(
    round: &Round<'_>,
    name: &str,
    volume: &Volume,
    status: &mut VolumeStatus,
) {
    let stays = |replica: &ReplicaStatus| {
        let host = replica.node.as_str();
        let record = round.state.record(About::volume(name), host);
        let ended = record.is_none_or(|record| !held(&round.hosts, record));
        let removed = record.is_some() && already_going(round, volume, replica);
        let no_more = round.hosts.get(host).is_none();
        !(ended && (removed || no_more))
    };
    let staying = status.replicas.iter().filter(|replica| stays(replica));
    let staying = staying.count();
    if staying > 0 && staying < status.replicas.len() {
        status.replicas.retain(stays);
    }
    let kept = |member: &quorate_crds::Name| status.replicas.iter().any(|one| one.node == *member);
    if status.in_sync.iter().any(kept) && !status.in_sync.iter().all(kept) {
        let members = status.in_sync.iter().filter(|member| kept(member));
        status.in_sync = members.cloned().collect();
        status.in_sync_generation = Some(status.in_sync_generation.unwrap_or(0) + 1);
    }
}

fn gone_data(round: &Round<'_>, volume: &Volume) -> ReplicaData {
    let pool = round.state.pools.get(volume.spec.pool.as_str());
    match pool.is_some_and(|pool| pool.spec.wipe_on_delete) {
        true => ReplicaData::Wipe,
        false => ReplicaData::Remove,
    }
}
