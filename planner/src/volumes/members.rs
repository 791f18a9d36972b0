//! The in-sync set: which replicas hold every acknowledged write (R10).

use super::roles::untouched;
use super::view::current;
use crate::mistake::{Mistake, made};
use crate::rights::{Answer, Presence, answer, writes};
use crate::round::Round;
use crate::state::Subject;
use quorate_crds::{ConnectionState, DiskState, Name, ReplicaRole, ReplicaStatus, VolumeStatus};
use std::collections::BTreeSet;

/// A replica leaves the set before another one writes without it, and comes back only when it is
/// connected and up to date. Nobody leaves while nobody writes, and the last one never leaves.
///
/// One that said goodbye is written on without before anybody is asked, and its own host may not say so; of that the writer's
/// word is enough. But then that word, and not its own from before, must count for as long as nothing newer is heard, even
/// when the writer is gone. So it leaves only together with an order that it has yet to answer.
pub(crate) fn settle(
    round: &Round<'_>,
    subject: &Subject,
    status: &mut VolumeStatus,
    primaries: &BTreeSet<String>,
    leaving: &BTreeSet<String>,
) {
    let mut members: BTreeSet<&str> = status.in_sync.iter().map(Name::as_str).collect();
    for replica in &status.replicas {
        let host = replica.node.as_str();
        let lost = round.hosts.is(host, Presence::Fenced) || round.hosts.get(host).is_none();
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
            other.node != replica.node
                && members.contains(other.node.as_str())
                && !leaving.contains(other.node.as_str())
                && current(&round.hosts, other)
        });
        let written_elsewhere = primaries.iter().any(|primary| *primary != host)
            || (primaries.contains(host) && another);
        let goes = leaving.contains(host) && another;
        let left = gone_on_without(round, subject, status, replica).any(|writer| {
            primaries.contains(writer) && !leaving.contains(writer) && members.contains(writer)
        });
        let told = !primaries.contains(host) && !untouched(round, host);
        if (((lost || behind) && written_elsewhere) || goes || (left && told)) && members.len() > 1
        {
            members.remove(host);
        } else if !leaving.contains(host) && follows(round, subject, status, replica) {
            members.insert(host);
        }
    }
    if !members
        .iter()
        .copied()
        .eq(status.in_sync.iter().map(Name::as_str))
    {
        status.in_sync = members.into_iter().map(Name::from).collect();
        status.in_sync_generation = Some(status.in_sync_generation.unwrap_or(0) + 1);
    }
}

/// Whether the replica is current and hears whoever may write, so that it misses nothing.
///
/// What counts is what its host says of the newest generation of its record, and only while that does not tell it to
/// outdate itself. Whoever writes without a replica has asked about it before, and got an answer only while its record
/// said so; the order goes with a generation of its own. So an answer to a later one was given after writes went on
/// alone, whatever became of the host that asked, and a word from before counts no more.
fn follows(
    round: &Round<'_>,
    subject: &Subject,
    status: &VolumeStatus,
    replica: &ReplicaStatus,
) -> bool {
    let connected = replica.connection == Some(ConnectionState::Connected);
    if made(Mistake::ConnectedIsInSync) && connected {
        return true;
    }
    if !current(&round.hosts, replica) || !says_so_now(round, subject, replica) {
        return false;
    }
    let hears = |other: &ReplicaStatus| match replica.peers.is_empty() {
        true => connected,
        false => replica.peers.iter().any(|peer| {
            peer.node == other.node && peer.connection == Some(ConnectionState::Connected)
        }),
    };
    let others = status.replicas.iter().filter(|it| it.node != replica.node);
    let member = |it: &&ReplicaStatus| status.in_sync.contains(&it.node);
    let writes = |it: &&ReplicaStatus| {
        it.role == Some(ReplicaRole::Primary) || may_write(round, subject, it)
    };
    !asked_about(status, replica)
        && gone_on_without(round, subject, status, replica)
            .next()
            .is_none()
        && others.clone().filter(member).any(hears)
        && others.filter(writes).all(hears)
}

/// Whether another replica's writes wait for this one to be outdated.
pub(super) fn asked_about(status: &VolumeStatus, replica: &ReplicaStatus) -> bool {
    status
        .replicas
        .iter()
        .any(|other| other.asks_about.contains(&replica.node))
}

/// Members that are open for writing and say that they have gone on without this replica.
pub(super) fn gone_on_without<'s>(
    round: &Round<'_>,
    subject: &Subject,
    status: &'s VolumeStatus,
    replica: &ReplicaStatus,
) -> impl Iterator<Item = &'s str> {
    let without = |writer: &&ReplicaStatus| {
        let mut peers = writer.peers.iter().filter(|it| it.node == replica.node);
        peers.any(|peer| {
            peer.disk == Some(DiskState::Outdated)
                && peer.connection != Some(ConnectionState::Connected)
        })
    };
    let writers = status.replicas.iter().filter(move |writer| {
        writer.role == Some(ReplicaRole::Primary)
            && status.in_sync.contains(&writer.node)
            && current(&round.hosts, writer)
            && may_write(round, subject, writer)
    });
    writers.filter(without).map(|writer| writer.node.as_str())
}

fn says_so_now(round: &Round<'_>, subject: &Subject, replica: &ReplicaStatus) -> bool {
    let record = round.state.record(subject, replica.node.as_str());
    record.is_some_and(|record| {
        let assigned = record.spec.assignment.as_ref();
        let assigned = assigned.and_then(|assigned| assigned.replica.as_ref());
        assigned.is_some_and(|assigned| !assigned.outdate) && answer(record) != Answer::Nothing
    })
}

fn may_write(round: &Round<'_>, subject: &Subject, replica: &ReplicaStatus) -> bool {
    let record = round.state.record(subject, replica.node.as_str());
    record.is_some_and(|record| writes(&round.hosts, record))
}
