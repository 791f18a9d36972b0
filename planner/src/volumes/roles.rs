//! Which replica is open for writing, and what else each host is told about its own.

use super::assignment::{Role, assignment};
use super::writing::{Asking, ready_to_join, unwritable};
use super::{members, source};
use crate::amounts::{later, moment, span};
use crate::mistake::{Mistake, made};
use crate::outcome::Outcome;
use crate::rights::{Presence, held, is_primary, writes};
use crate::round::Round;
use crate::state::{About, Record, Subject};
use crate::votes::Votes;
use jiff::Timestamp;
use quorate_crds::{
    ConditionStatus, Name, NodeMode, ReplicaData, ReplicaStatus, Volume, VolumeAccess, VolumeState,
    VolumeStatus,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn plan(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, volume): (&str, &Volume),
    status: &mut VolumeStatus,
    users: &BTreeSet<String>,
    leaving: &BTreeMap<String, ReplicaData>,
    compares: Option<&(Name, u64)>,
) {
    let subject = Subject::volume(name);
    let moving = outcome.moving.get(name).cloned();
    let two = volume.spec.access == VolumeAccess::MultiWriter
        || moving.is_some()
        || still_two(round, &subject)
        || (made(Mistake::StaysOpenForTwo) && status.two_primaries_allowed == Some(true));
    let none = BTreeSet::new();
    let users = match made(Mistake::VolumeClosesFirst) {
        true => &none,
        false => users,
    };
    let resolved = resolved(volume, status);
    let mut primaries: BTreeSet<String> = BTreeSet::new();
    for place in 0..status.replicas.len() {
        let replica = &status.replicas[place];
        let host = replica.node.as_str();
        let record = round.state.record(&subject, host);
        let before = record.and_then(|record| record.spec.assignment.as_ref());
        let was_primary =
            record.is_some_and(|record| held(&round.hosts, record) && is_primary(record));
        if untouched(round, host) {
            if was_primary {
                primaries.insert(host.to_owned());
            }
            if before.is_some() {
                outcome.keep(round.state, &subject, host);
            }
            continue;
        }
        let arriving = moving.as_ref().filter(|(_, to)| to == host);
        let primary = users.contains(host)
            && !leaving.contains_key(host)
            && (was_primary
                || match arriving {
                    Some((from, _)) if *from != host => ready_to_join(round, name, from, host),
                    _ => unwritable(round, name, volume, host, Asking::default()).is_none(),
                });
        if primary {
            primaries.insert(host.to_owned());
        }
        let mut epoch = before.map_or(0, |before| before.epoch);
        let opens = primary && !was_primary;
        if opens {
            epoch = status.epoch.unwrap_or(0) + 1;
        }
        let (begins_here, copy_of) = match begins_here(status, replica) {
            true => match source::original(round, (name, volume), &replica.node) {
                Ok(original) => (true, original),
                // Made empty, it would be taken for what it should hold.
                Err(_) => (false, None),
            },
            false => (false, None),
        };
        let role = Role {
            epoch,
            active: !leaving.contains_key(host),
            primary,
            allow_two_primaries: two,
            begins_here,
            copy_of,
            outdate: !primary && outdated(round, &subject, status, replica),
            give_up: resolved
                .as_ref()
                .filter(|(_, victim)| *victim == host)
                .map(|(number, _)| *number),
            verify: compares
                .filter(|(node, _)| *node == replica.node)
                .map(|(_, number)| *number),
            data: leaving.get(host).copied().unwrap_or_default(),
        };
        let assigned = assignment(round, (name, volume), status, replica, &role);
        outcome.assign(round.state, &subject, host, assigned);
        if opens {
            status.epoch = Some(epoch);
        }
    }
    status.two_primaries_allowed = two.then_some(true);
    if let Some((_, victim)) = resolved
        && status.in_sync.len() > 1
    {
        status.in_sync.retain(|member| member.as_str() != victim);
    }
    let going: BTreeSet<String> = leaving.keys().cloned().collect();
    members::settle(round, &subject, status, &primaries, &going);
}

/// Whether two that had it open together may both have it open yet: it is closed for two only when
/// one of them has said that it closed it.
fn still_two(round: &Round<'_>, subject: &Subject) -> bool {
    let records = round.state.records_of(subject).into_iter().flatten();
    let writing = records.filter(|(_, record)| {
        let assigned = record.spec.assignment.as_ref();
        let replica = assigned.and_then(|assigned| assigned.replica.as_ref());
        replica.is_some_and(|replica| replica.allow_two_primaries) && writes(&round.hosts, record)
    });
    writing.count() > 1
}

/// A host that is not heard, or is left alone, keeps what it was told.
pub(super) fn untouched(round: &Round<'_>, host: &str) -> bool {
    round.hosts.get(host).is_none_or(|host| {
        matches!(host.presence, Presence::Silent | Presence::Away)
            || host.mode == NodeMode::Maintenance
    })
}

/// No replica holds data yet, and this one is where they begin.
pub(super) fn begins_here(status: &VolumeStatus, replica: &ReplicaStatus) -> bool {
    matches!(status.state, None | Some(VolumeState::Pending))
        && status.in_sync_generation == Some(1)
        && status.in_sync.contains(&replica.node)
}

/// Whether the replica is to outdate itself: another one's writes wait for that, or went on without it while it counted, and they
/// have not met since.
fn outdated(
    round: &Round<'_>,
    subject: &Subject,
    status: &VolumeStatus,
    replica: &ReplicaStatus,
) -> bool {
    let record = round.state.record(subject, replica.node.as_str());
    let before = record.and_then(|record| record.spec.assignment.as_ref());
    let told = before.and_then(|assigned| assigned.replica.as_ref());
    let counted =
        status.in_sync.contains(&replica.node) || told.is_some_and(|replica| replica.outdate);
    let mut without = members::gone_on_without(round, subject, status, replica);
    members::asked_about(status, replica) || (counted && without.next().is_some())
}

/// The split brain that a person has decided, and the host whose data is given up.
fn resolved(volume: &Volume, status: &VolumeStatus) -> Option<(u64, String)> {
    let resolve = volume.spec.resolve.as_ref()?;
    let number = status.split_brain.as_ref()?.number?;
    (status.state == Some(VolumeState::SplitBrain) && resolve.split_brain == number)
        .then(|| (number, resolve.discard.to_string()))
}

/// Hosts whose storage lost each other while both write: one of each pair must go, and the one that
/// carries less is chosen, unless nothing could be decided any more without its vote and without the
/// other's it could. One of them may as well be dead and not yet missed, so that only what both
/// say counts at once; of two of which only one asks, the other goes when it has had time to be missed.
pub(crate) fn victims(round: &Round<'_>) -> BTreeMap<String, String> {
    let mut victims = BTreeMap::new();
    let votes = Votes::of(round);
    for (name, status) in round.views.iter() {
        let writing = |host: &str| {
            let record: Option<&Record> = round.state.record(About::volume(name), host);
            round.hosts.is(host, Presence::Online)
                && record.is_some_and(|record| is_primary(record) && held(&round.hosts, record))
        };
        let asks = |asker: &str, about: &str| {
            let replica = status.replicas.iter().find(|it| it.node.as_str() == asker);
            replica.is_some_and(|it| it.asks_about.iter().any(|one| one.as_str() == about))
        };
        for replica in &status.replicas {
            let asker = replica.node.as_str();
            for peer in &replica.asks_about {
                let peer = peer.as_str();
                if !writing(asker) || !writing(peer) {
                    continue;
                }
                let weight = |host| {
                    let needed = votes.rest_on(host);
                    (needed, carried(round, host), std::cmp::Reverse(host))
                };
                let victim = match asks(peer, asker) {
                    true if weight(asker) < weight(peer) => asker,
                    true => peer,
                    false if !frozen_for_long(round, status) => continue,
                    false if votes.rest_on(peer) && !votes.rest_on(asker) => asker,
                    false => peer,
                };
                let text = format!(
                    "{asker} and {peer} both write volume {name} and do not reach each other"
                );
                victims.insert(victim.to_owned(), text);
            }
        }
    }
    victims
}

/// Whether a host that is dead would have been missed since the volume stopped being ready.
fn frozen_for_long(round: &Round<'_>, status: &VolumeStatus) -> bool {
    missed_at(round, status).is_some_and(|at| at <= round.now)
}

/// When a host that died as the volume froze would surely have been missed.
pub(super) fn missed_at(round: &Round<'_>, status: &VolumeStatus) -> Option<Timestamp> {
    let mut conditions = status.conditions.iter();
    let since = conditions
        .find(|one| one.type_ == "Ready" && one.status == ConditionStatus::False)
        .and_then(|one| moment(Some(&one.last_transition_time)))?;
    Some(later(since, span(&round.settings.detection.lease)))
}

/// What a host carries, by the priorities of its protected guests.
pub(crate) fn carried(round: &Round<'_>, host: &str) -> u64 {
    let here = round.state.guests.values().filter(|guest| {
        let node = guest
            .status
            .as_ref()
            .and_then(|status| status.node.as_ref());
        guest.spec.protected && node.is_some_and(|node| node.as_str() == host)
    });
    here.map(|guest| u64::from(guest.spec.priority) + 1).sum()
}
