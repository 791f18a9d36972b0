//! A volume as its hosts see it now: what each of them says about its replica.

use crate::rights::{Hosts, Presence, observed};
use crate::round::Round;
use crate::state::{About, ClusterState, Index};
use jiff::Timestamp;
use quorate_crds::{
    ConnectionState, DiskState, Name, ReplicaRole, ReplicaStatus, SplitBrainSide, SplitBrainStatus,
    SyncProgress, Time, VolumeState, VolumeStatus,
};

/// A volume's status as of now. Most are as they were: only what is seen anew is held in memory twice.
enum View<'a> {
    Stored(&'a VolumeStatus),
    New(Box<VolumeStatus>),
}

impl View<'_> {
    fn status(&self) -> &VolumeStatus {
        match self {
            Self::Stored(status) => status,
            Self::New(status) => status,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut VolumeStatus)) {
        let mut status = match self {
            Self::Stored(status) => Box::new(status.clone()),
            Self::New(status) => std::mem::take(status),
        };
        change(&mut status);
        *self = Self::New(status);
    }
}

/// Volumes by name, each with its status as of now.
pub(crate) struct Views<'a> {
    order: Vec<(&'a str, View<'a>)>,
    places: Index<&'a str, usize>,
}

impl<'a> Views<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&VolumeStatus> {
        Some(self.order[*self.places.get(name)?].1.status())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &VolumeStatus)> {
        self.order.iter().map(|(name, view)| (*name, view.status()))
    }
}

impl std::ops::Index<&str> for Views<'_> {
    type Output = VolumeStatus;

    fn index(&self, name: &str) -> &VolumeStatus {
        self.order[self.places[name]].1.status()
    }
}

pub(crate) fn look<'a>(state: &'a ClusterState, hosts: &Hosts<'a>, now: Timestamp) -> Views<'a> {
    let views = state.volumes.iter().map(|(name, volume)| {
        let mut view = match &volume.status {
            Some(status) => View::Stored(status),
            None => View::New(Box::default()),
        };
        let records = state.records_of(About::volume(name));
        for place in 0..view.status().replicas.len() {
            let known = &view.status().replicas[place];
            let record = records.and_then(|records| records.get(known.node.as_str()));
            let seen = record
                .and_then(|record| observed(hosts, record))
                .and_then(|status| status.replica.as_ref());
            if let Some(now) = updated(hosts, known, seen) {
                view.change(|status| status.replicas[place] = now);
            }
        }
        let was = view.status().state == Some(VolumeState::SplitBrain);
        let is = is_split(view.status(), was);
        if is != was {
            view.change(|status| note_the_split(status, is, now));
        }
        if is {
            let said = |node: &Name| {
                let record = records?.get(node.as_str())?;
                observed(hosts, record)?.replica.as_ref()
            };
            let known = view.status().split_brain.clone();
            let mut split = known.clone();
            for side in split.iter_mut().flat_map(|split| &mut split.sides) {
                // That nothing is said takes nothing back.
                let Some(seen) = said(&side.node) else {
                    continue;
                };
                let known = side.clone();
                side.written = seen.out_of_sync.clone().or(known.written);
                side.last_write = seen.last_write.clone().or(known.last_write);
                side.watched_since = seen.watched_since.clone().or(known.watched_since);
            }
            if split != known {
                view.change(|status| status.split_brain = split);
            }
        }
        (name, view)
    });
    let order: Vec<_> = views.collect();
    let places = order.iter().map(|(name, _)| *name).zip(0..).collect();
    Views { order, places }
}

/// What the host says, or that nobody knows: what a former incarnation said says nothing about what
/// is on the disks now. None when that is what is known already.
fn updated(
    hosts: &Hosts<'_>,
    known: &ReplicaStatus,
    seen: Option<&ReplicaStatus>,
) -> Option<ReplicaStatus> {
    let host = hosts.get(known.node.as_str());
    let gone = host.is_none_or(|host| host.presence == Presence::Fenced);
    let now = match seen.filter(|_| !gone) {
        Some(seen) if says_the_same(known, seen) => return None,
        Some(seen) => ReplicaStatus {
            node: known.node.clone(),
            node_id: known.node_id,
            sync: progress(seen).cloned(),
            out_of_sync: None,
            last_write: None,
            watched_since: None,
            verify: None,
            ..seen.clone()
        },
        None if gone || known.disk.is_some() => ReplicaStatus {
            role: Some(ReplicaRole::Unknown),
            disk: Some(DiskState::Unknown),
            connection: None,
            peers: Vec::new(),
            two_primaries_allowed: None,
            asks_about: Vec::new(),
            sync: None,
            ..known.clone()
        },
        None => return None,
    };
    (now != *known).then_some(now)
}

/// Whether the host says nothing of its replica but what is known; most of the time it is so. Of a field that is
/// forgotten here nobody would ever hear again, so that all are named.
fn says_the_same(known: &ReplicaStatus, seen: &ReplicaStatus) -> bool {
    let ReplicaStatus {
        // The host is the same; its number is ours to give.
        node: _,
        node_id: _,
        role,
        disk,
        connection,
        peers,
        size,
        two_primaries_allowed,
        asks_about,
        device,
        backing_device,
        // These are not passed on.
        out_of_sync: _,
        last_write: _,
        watched_since: _,
        verify: _,
        sync: _,
        message,
    } = seen;
    (known.role, known.disk, known.connection) == (*role, *disk, *connection)
        && known.two_primaries_allowed == *two_primaries_allowed
        && known.peers == *peers
        && known.size == *size
        && known.asks_about == *asks_about
        && known.device == *device
        && known.backing_device == *backing_device
        && known.message == *message
        && known.sync.as_ref() == progress(seen)
        && known.out_of_sync.is_none()
        && known.last_write.is_none()
        && known.watched_since.is_none()
        && known.verify.is_none()
}

/// Whether the replica takes what it lacks from another one.
fn catches_up(replica: &ReplicaStatus) -> bool {
    replica.disk == Some(DiskState::Inconsistent)
        && replica.connection == Some(ConnectionState::Connected)
}

/// How far the replica is with what it lacks. Of the one that it takes that from, nothing is said.
fn progress(seen: &ReplicaStatus) -> Option<&SyncProgress> {
    seen.sync.as_ref().filter(|_| catches_up(seen))
}

/// Two sides that have both written refuse each other. A person must choose; the number keeps a
/// decision from being taken for a later split. They are split until one tries to meet the other and is not refused: what
/// comes of it when both try is yet to be seen, and mostly it is the same again. Replicas that never held data cannot be.
fn is_split(status: &VolumeStatus, was: bool) -> bool {
    let apart = |connection: Option<ConnectionState>| match connection {
        Some(ConnectionState::StandAlone) => true,
        Some(ConnectionState::Disconnected) => was,
        _ => false,
    };
    let alone = |replica: &ReplicaStatus| {
        apart(replica.connection) || replica.peers.iter().any(|peer| apart(peer.connection))
    };
    let tries = |replica: &ReplicaStatus, other: &ReplicaStatus| {
        let mut peers = replica.peers.iter().filter(|it| it.node == other.node);
        peers.any(|peer| peer.connection == Some(ConnectionState::Connecting))
    };
    let both_try = || {
        let pairs = status
            .replicas
            .iter()
            .flat_map(|one| status.replicas.iter().map(move |other| (one, other)));
        pairs
            .filter(|(one, other)| one.node < other.node)
            .any(|(one, other)| tries(one, other) && tries(other, one))
    };
    is_born(status) && (status.replicas.iter().any(alone) || (was && both_try()))
}

/// Whether a replica ever held data.
fn is_born(status: &VolumeStatus) -> bool {
    !matches!(status.state, None | Some(VolumeState::Pending))
}

fn note_the_split(status: &mut VolumeStatus, split: bool, now: Timestamp) {
    if split {
        let number = status
            .split_brain
            .as_ref()
            .and_then(|split| split.number)
            .unwrap_or(0);
        let sides = status.replicas.iter().map(|replica| SplitBrainSide {
            node: replica.node.clone(),
            written: None,
            last_write: None,
            watched_since: None,
        });
        status.split_brain = Some(SplitBrainStatus {
            number: Some(number + 1),
            since: Some(Time::from(now)),
            sides: sides.collect(),
        });
        status.state = Some(VolumeState::SplitBrain);
    } else {
        status.state = Some(VolumeState::Degraded);
    }
}

/// Whether the replica holds complete, current data on a host that is heard.
pub(crate) fn current(hosts: &Hosts<'_>, replica: &ReplicaStatus) -> bool {
    replica.disk == Some(DiskState::UpToDate) && hosts.is(replica.node.as_str(), Presence::Online)
}

/// Whether nobody but that replica can hold a write that it lacks: every other member of the set is
/// confirmed off or outdated.
pub(crate) fn alone(hosts: &Hosts<'_>, status: &VolumeStatus, host: &str) -> bool {
    let mut others = status
        .in_sync
        .iter()
        .filter(|member| member.as_str() != host);
    others.all(|member| {
        hosts.is(member.as_str(), Presence::Fenced)
            || status
                .replicas
                .iter()
                .any(|replica| replica.node == *member && replica.disk == Some(DiskState::Outdated))
    })
}

/// Members that are heard and complete, and cannot know whether they hold every write.
pub(crate) fn in_doubt<'s>(hosts: &Hosts<'_>, status: &'s VolumeStatus) -> Vec<&'s str> {
    let replicas = status.replicas.iter();
    replicas
        .filter(|replica| {
            let host = replica.node.as_str();
            replica.disk == Some(DiskState::Consistent)
                && hosts.is(host, Presence::Online)
                && status.in_sync.contains(&replica.node)
                && !alone(hosts, status, host)
        })
        .map(|replica| replica.node.as_str())
        .collect()
}

/// Members that hold every write, as far as is known, and are not there.
pub(crate) fn missing<'s>(hosts: &Hosts<'_>, status: &'s VolumeStatus) -> Vec<&'s str> {
    let members = status.in_sync.iter().map(quorate_crds::Name::as_str);
    members
        .filter(|member| !hosts.is(member, Presence::Online))
        .collect()
}

/// Puts the whole in a word.
pub(crate) fn summarise(round: &Round<'_>, status: &mut VolumeStatus) {
    let member = |replica: &&ReplicaStatus| status.in_sync.contains(&replica.node);
    let frozen = status
        .replicas
        .iter()
        .any(|replica| !replica.asks_about.is_empty());
    let syncing = status.replicas.iter().any(catches_up);
    let there = status.replicas.iter().filter(member).any(|replica| {
        current(&round.hosts, replica)
            || (replica.disk == Some(DiskState::Consistent)
                && round.hosts.is(replica.node.as_str(), Presence::Online)
                && alone(&round.hosts, status, replica.node.as_str()))
    });
    let born = is_born(status);
    status.state = Some(match status.state {
        Some(VolumeState::SplitBrain) => VolumeState::SplitBrain,
        // Nothing is lost that is to go.
        Some(VolumeState::Deleting) if !there => VolumeState::Deleting,
        _ if !born && !there => VolumeState::Pending,
        _ if frozen || (!there && !in_doubt(&round.hosts, status).is_empty()) => {
            VolumeState::Frozen
        }
        _ if !there => VolumeState::Lost,
        _ if status.in_sync.len() == status.replicas.len()
            && missing(&round.hosts, status).is_empty() =>
        {
            VolumeState::Ready
        }
        _ if syncing => VolumeState::Syncing,
        _ => VolumeState::Degraded,
    });
    status.in_sync_summary = Some(format!(
        "{}/{}",
        status.in_sync.len(),
        status.replicas.len()
    ));
    status.sync_summary = sync_summary(status);
    let primaries = status
        .replicas
        .iter()
        .filter(|replica| replica.role == Some(ReplicaRole::Primary))
        .map(|replica| &replica.node);
    if !primaries.clone().eq(&status.primary) {
        status.primary = primaries.cloned().collect();
    }
}

/// How far the replica is that has furthest to go. It is not known how old this is when somebody reads it, so that it says what
/// stays true: that so much is done at least.
fn sync_summary(status: &VolumeStatus) -> Option<String> {
    let catching_up = status.replicas.iter().filter(|it| catches_up(it));
    let done = |replica: &ReplicaStatus| replica.sync.as_ref()?.percent;
    let least = catching_up.map(|it| done(it).unwrap_or(0)).min()?;
    Some(match least {
        0 => "begun".to_owned(),
        percent => format!(">{percent}%"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crds::PeerStatus;

    fn volume(state: Option<VolumeState>, connection: ConnectionState) -> VolumeStatus {
        let replica = ReplicaStatus {
            connection: Some(connection),
            ..super::super::choice::blank("an1".into())
        };
        VolumeStatus {
            state,
            replicas: vec![replica],
            ..VolumeStatus::default()
        }
    }

    /// A new replica stands alone for the moment between its making and its connecting. Taken for a split, the volume was
    /// never begun.
    #[test]
    fn what_never_held_data_has_not_split() {
        let alone = ConnectionState::StandAlone;
        assert!(!is_split(&volume(None, alone), false));
        assert!(!is_split(&volume(Some(VolumeState::Pending), alone), false));
        assert!(is_split(&volume(Some(VolumeState::Ready), alone), false));
    }

    #[test]
    fn a_split_lasts_until_a_side_tries_to_meet_the_other() {
        let state = Some(VolumeState::SplitBrain);
        assert!(is_split(
            &volume(state, ConnectionState::Disconnected),
            true
        ));
        assert!(!is_split(&volume(state, ConnectionState::Connecting), true));
        let degraded = Some(VolumeState::Degraded);
        assert!(!is_split(
            &volume(degraded, ConnectionState::Disconnected),
            false
        ));
    }

    /// Each side tries every minute. A split that ended with that was another one every minute: what a person had decided
    /// about the one was not meant for the next.
    #[test]
    fn while_both_sides_try_to_meet_they_are_split_as_they_were() {
        use ConnectionState::{Connected, Connecting, StandAlone};
        let side = |node: &str, other: &str, connection| ReplicaStatus {
            connection: Some(connection),
            peers: vec![PeerStatus {
                node: other.into(),
                connection: Some(connection),
                disk: None,
            }],
            ..super::super::choice::blank(node.into())
        };
        let split = |one, other| VolumeStatus {
            state: Some(VolumeState::SplitBrain),
            replicas: vec![side("an1", "an2", one), side("an2", "an1", other)],
            ..VolumeStatus::default()
        };
        assert!(is_split(&split(Connecting, Connecting), true));
        assert!(is_split(&split(StandAlone, Connecting), true));
        assert!(!is_split(&split(Connecting, Connecting), false));
        assert!(!is_split(&split(Connected, Connecting), true));
        assert!(!is_split(&split(Connected, Connected), true));
    }
}
