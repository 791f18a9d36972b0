//! The in-sync set: which replicas hold every acknowledged write (R10).

use super::view::current;
use crate::mistake::{Mistake, made};
use crate::rights::Presence;
use crate::round::Round;
use quorate_crds::{ConnectionState, DiskState, Name, ReplicaRole, ReplicaStatus, VolumeStatus};
use std::collections::BTreeSet;

/// A replica leaves the set before another one writes without it, and comes back only when it is
/// connected and up to date. Nobody leaves while nobody writes, and the last one never leaves.
pub(crate) fn settle(
    round: &Round<'_>,
    status: &mut VolumeStatus,
    primaries: &BTreeSet<String>,
    leaving: &BTreeSet<String>,
) {
    let mut members: BTreeSet<String> = status.in_sync.iter().map(ToString::to_string).collect();
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
        if (((lost || behind) && written_elsewhere) || goes) && members.len() > 1 {
            members.remove(host);
        } else if !leaving.contains(host) && follows(round, status, replica) {
            members.insert(host.to_owned());
        }
    }
    let members: Vec<Name> = members.into_iter().map(Name).collect();
    if members != status.in_sync {
        status.in_sync = members;
        status.in_sync_generation = Some(status.in_sync_generation.unwrap_or(0) + 1);
    }
}

/// Whether the replica is current and hears whoever writes, so that it misses nothing.
fn follows(round: &Round<'_>, status: &VolumeStatus, replica: &ReplicaStatus) -> bool {
    let connected = replica.connection == Some(ConnectionState::Connected);
    if made(Mistake::ConnectedIsInSync) && connected {
        return true;
    }
    if !current(&round.hosts, replica) || replica.connection != Some(ConnectionState::Connected) {
        return false;
    }
    let asked_about = status
        .replicas
        .iter()
        .any(|other| other.asks_about.contains(&replica.node));
    let writers = status
        .replicas
        .iter()
        .filter(|other| other.node != replica.node && other.role == Some(ReplicaRole::Primary));
    let hears = |writer: &ReplicaStatus| {
        replica.peers.is_empty()
            || replica.peers.iter().any(|peer| {
                peer.node == writer.node && peer.connection == Some(ConnectionState::Connected)
            })
    };
    !asked_about && writers.into_iter().all(hears)
}
