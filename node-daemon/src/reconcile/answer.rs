//! What a host says about a record: how far it is, and what it sees. Figures that move all the time are left out, or
//! are coarse, so that a host on which nothing happens writes nothing.

use super::replica::bytes;
use super::seen::Seen;
use super::verdict::Verdict;
use super::work::Work;
use crate::drivers::{
    GuestDoing, GuestSeen, HowEnded, MountSeen, PeerSeen, ReplicaSeen, Trouble, VolumeGroupSeen,
    WhyPaused,
};
use crate::plan::Record;
use jiff::Timestamp;
use quorate_crds::{
    Condition, ConditionStatus, ConnectionState, DiskState, GuestObservation, GuestPresence,
    MountAssignment, MountCheck, MountState, MountStatus, Name, NetworkHostStatus, NodePlanStatus,
    PeerStatus, PoolHostStatus, PoolState, ReplicaStatus, ReplicaVerify, Size, SyncProgress, Time,
    VerifyState,
};

const MIB: u64 = 1 << 20;
/// Of these a filesystem's space is said in.
const PARTS: u64 = 64;
const LONGEST_MESSAGE: usize = 1024;

pub(super) struct Answering<'a> {
    pub(super) record: &'a Record,
    pub(super) verdict: &'a Verdict,
    pub(super) work: &'a Work,
    pub(super) seen: &'a Seen,
    pub(super) host: &'a Name,
    pub(super) incarnation: u64,
    /// Peers that the storage has asked about, and not been answered.
    pub(super) asks_about: Vec<Name>,
    pub(super) wall: Timestamp,
}

impl Answering<'_> {
    pub(super) fn answer(&self) -> NodePlanStatus {
        let before = self
            .work
            .said
            .as_ref()
            .filter(|said| said.incarnation == Some(self.incarnation));
        let (stalled, message) = self.trouble();
        let mut conditions = Vec::new();
        let mut say = |type_: &str, so: bool, reason: &str, message: &str| {
            conditions.push(self.condition(before, type_, so, reason, message));
        };
        let done = matches!(self.verdict, Verdict::Converged | Verdict::Released);
        match (&stalled, done) {
            (Some(trouble), _) => {
                say("Converged", false, trouble.as_str(), &message);
                say("Stalled", true, trouble.as_str(), &message);
            }
            (None, true) => say("Converged", true, "AsPlanned", "it is as planned"),
            (None, false) => say("Converged", false, self.waits_for(), &message),
        }
        let mut status = NodePlanStatus {
            observed_generation: self.record.assignment.object_generation,
            conditions,
            observed_plan_generation: Some(self.record.generation),
            released: matches!(self.verdict, Verdict::Released).then_some(true),
            attempts: Some(self.work.attempts).filter(|attempts| *attempts > 0),
            message: (!done || stalled.is_some()).then_some(message),
            incarnation: Some(self.incarnation),
            ..NodePlanStatus::default()
        };
        self.observed(&mut status);
        status
    }

    fn trouble(&self) -> (Option<Trouble>, String) {
        let failure = self.work.failure.as_ref();
        let (trouble, mut message) = match (self.verdict, failure) {
            (Verdict::Ended(trouble, message), _) => (Some(*trouble), message.clone()),
            (Verdict::Converged | Verdict::Released, _) => (None, String::new()),
            (_, Some(failure)) => (
                self.work.stalled().then_some(failure.trouble),
                failure.message.clone(),
            ),
            (
                Verdict::Waits(message) | Verdict::Outdated(message) | Verdict::Until(_, message),
                None,
            ) => (None, message.clone()),
            (Verdict::Do(act), None) => (None, format!("{} is under way", act.verb())),
        };
        if message.len() > LONGEST_MESSAGE {
            let cut = (0..=LONGEST_MESSAGE)
                .rev()
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or(0);
            message.truncate(cut);
        }
        (trouble, message)
    }

    /// What a record waits for, as one word: a person may have to bring a file.
    fn waits_for(&self) -> &'static str {
        let failure = self.work.failure.as_ref();
        let missing = failure.filter(|failure| failure.trouble == Trouble::FileMissing);
        match (missing, self.verdict) {
            (Some(failure), _) => failure.trouble.as_str(),
            (None, Verdict::Outdated(_)) => "Outdated",
            (None, _) => "InProgress",
        }
    }

    fn condition(
        &self,
        before: Option<&NodePlanStatus>,
        type_: &str,
        so: bool,
        reason: &str,
        message: &str,
    ) -> Condition {
        let status = if so {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        let since = before
            .and_then(|said| said.conditions.iter().find(|said| said.type_ == type_))
            .filter(|said| said.status == status)
            .map_or_else(
                || Time::from(self.wall),
                |said| said.last_transition_time.clone(),
            );
        Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: since,
            observed_generation: None,
        }
    }

    fn observed(&self, status: &mut NodePlanStatus) {
        let assignment = &self.record.assignment;
        let name = &assignment.object.name;
        if assignment.guest.is_some() {
            status.guest = Some(guest_seen(self.seen.guest(name)));
        }
        if let Some(replica) = &assignment.replica
            && let Some(seen) = self.seen.replica(name)
        {
            let mut seen = replica_seen(seen, self.host, replica.node_id);
            seen.backing_device = Some(replica.backing_device.to_string());
            seen.asks_about.clone_from(&self.asks_about);
            status.replica = Some(seen);
        }
        if let Some(mount) = &assignment.mount {
            status.mount = Some(self.mount_seen(mount));
        }
        if assignment.network.is_some() {
            let seen = self.seen.network(name);
            status.network = seen.map(|seen| NetworkHostStatus {
                node: self.host.clone(),
                ..seen.status.clone()
            });
            status.links = seen.map(|seen| seen.links.clone()).unwrap_or_default();
        }
        if let Some(storage) = &assignment.storage
            && storage.logical_volume.is_none()
        {
            let seen = self.seen.group(&storage.volume_group);
            status.pool = Some(pool_seen(seen, self.host));
        }
    }
}

impl Answering<'_> {
    fn mount_seen(&self, mount: &MountAssignment) -> MountStatus {
        let name = &self.record.assignment.object.name;
        // What somebody else has mounted there says nothing of ours.
        let seen = self.seen.mount(&mount.mount_point);
        let seen = seen.filter(|seen| seen.owner.object() == Some(name));
        let locks = mount.lockspace.as_ref();
        let locks = locks.and_then(|_| self.seen.lockspace(name));
        let state = match locks.filter(|locks| locks.ours) {
            Some(locks) if locks.joining => MountState::Mounting,
            Some(locks) if locks.leaving => MountState::Unmounting,
            _ => seen.map_or(MountState::Unmounted, |seen| seen.state),
        };
        let withdrawn = seen.is_some_and(|seen| seen.state == MountState::Withdrawn);
        let refused = seen.and_then(|seen| seen.refused.as_ref());
        let message = match refused {
            _ if withdrawn => Some("it shut itself down on an error".to_owned()),
            Some(words) => Some(format!(
                "its options are those of its mount; others count from the next one on: {words}"
            )),
            None => None,
        };
        let said = self.work.said.as_ref();
        let said = said.and_then(|said| said.mount.as_ref());
        let (capacity, free) = match seen {
            Some(seen) if seen.capacity > 0 => (
                Some(Size(seen.capacity.to_string())),
                Some(Size(left(seen, said).to_string())),
            ),
            // One whose locks are stopped gives no figures.
            Some(_) => said.map_or((None, None), |said| {
                (said.capacity.clone(), said.free.clone())
            }),
            None => (None, None),
        };
        MountStatus {
            node: self.host.clone(),
            state: Some(state),
            journal: seen.and_then(|seen| seen.journal),
            journals: seen.and_then(|seen| seen.journals),
            quota: seen.and_then(|seen| seen.quota),
            capacity,
            free,
            check: mount.check.and_then(|wanted| {
                let seen = self.seen.check(name)?;
                (seen.number == wanted.number).then_some(MountCheck {
                    number: seen.number,
                    result: seen.result?,
                    message: seen.message.clone(),
                })
            }),
            message,
        }
    }
}

/// What is left, in parts of the whole. What was said stays while it differs by less than one part, so that a filesystem that is
/// used writes nothing to the store.
fn left(seen: &MountSeen, said: Option<&MountStatus>) -> u64 {
    let part = (seen.capacity / PARTS).max(1);
    let before = said.and_then(|said| said.free.as_ref()).map(bytes);
    match before.filter(|before| before.abs_diff(seen.free) < part) {
        Some(before) => before,
        None => seen.free / part * part,
    }
}

fn guest_seen(seen: Option<&GuestSeen>) -> GuestObservation {
    let Some(seen) = seen else {
        return GuestObservation {
            presence: Some(GuestPresence::Absent),
            ..GuestObservation::default()
        };
    };
    let presence = match seen.doing {
        GuestDoing::Running | GuestDoing::Stopping => GuestPresence::Running,
        GuestDoing::Paused(WhyPaused::Incoming) => GuestPresence::Arriving,
        GuestDoing::Paused(WhyPaused::Received) => GuestPresence::Arrived,
        GuestDoing::Paused(WhyPaused::Sent) => GuestPresence::Sent,
        GuestDoing::Paused(_) => GuestPresence::Paused,
        GuestDoing::Off(HowEnded::Migrated) => GuestPresence::Sent,
        GuestDoing::Off(_) => GuestPresence::Absent,
    };
    GuestObservation {
        presence: Some(presence),
        agent: seen.agent.clone(),
        display: seen.display.clone(),
        nics: seen.nics.clone(),
        resources: seen.resources.clone(),
    }
}

fn replica_seen(seen: &ReplicaSeen, host: &Name, node_id: u32) -> ReplicaStatus {
    let peers: Vec<PeerStatus> = seen
        .peers
        .iter()
        .map(|peer| PeerStatus {
            node: peer.node.clone(),
            connection: Some(connection(peer)),
            disk: Some(peer.disk),
        })
        .collect();
    // The least good one says how the replica as a whole is connected.
    let rank = |connection: ConnectionState| match connection {
        ConnectionState::StandAlone => 0,
        ConnectionState::Disconnected => 1,
        ConnectionState::Connecting => 2,
        ConnectionState::Connected => 3,
    };
    let connection = seen
        .peers
        .iter()
        .map(connection)
        .min_by_key(|connection| rank(*connection));
    let behind = seen.disk == DiskState::Inconsistent;
    let resyncs = seen.peers.iter().any(|peer| {
        peer.connection == ConnectionState::Connected
            && (behind || peer.disk == DiskState::Inconsistent)
    });
    let written = split(seen).and(seen.written);
    ReplicaStatus {
        node: host.clone(),
        node_id: Some(node_id),
        role: Some(seen.role),
        disk: Some(seen.disk),
        connection,
        peers,
        size: Some(Size(seen.size.to_string())),
        two_primaries_allowed: Some(seen.two_primaries),
        asks_about: Vec::new(),
        device: Some(seen.device.to_string()),
        backing_device: None,
        // How far a resync is says the one that it is for, in a few steps; what is left moves all the time.
        out_of_sync: coarse(seen.out_of_sync).filter(|_| !resyncs),
        sync: (seen.sync.as_ref().filter(|_| behind)).map(SyncProgress::stored),
        last_write: written.and_then(|written| written.last).map(to_the_minute),
        watched_since: written.map(|written| Time::from(written.since)),
        verify: seen.verify.as_ref().map(|verify| ReplicaVerify {
            number: verify.number,
            state: verify.state,
            out_of_sync: (verify.state == VerifyState::Finished)
                .then(|| Size(seen.out_of_sync.to_string())),
            message: verify.message.clone(),
        }),
        message: split(seen).map(|peer| format!("both this host and {} have written", peer.node)),
    }
}

/// A peer that has written as well.
fn split(seen: &ReplicaSeen) -> Option<&PeerSeen> {
    seen.peers.iter().find(|peer| peer.split_brain)
}

/// A side that goes on being written would say something else every few seconds.
fn to_the_minute(moment: Timestamp) -> Time {
    let seconds = moment.as_second() / 60 * 60;
    Time::from(Timestamp::from_second(seconds).unwrap_or(moment))
}

/// To the cluster, one that stands alone is one that refuses its peer because both have written. DRBD's also stand alone before they
/// are told to connect, and when the peer proved to be somebody else.
fn connection(peer: &PeerSeen) -> ConnectionState {
    match peer.connection {
        ConnectionState::StandAlone if !peer.split_brain => ConnectionState::Disconnected,
        other => other,
    }
}

/// Up to the next power of two, so that it is written a few times in a whole resync.
fn coarse(bytes: u64) -> Option<Size> {
    (bytes > 0).then(|| {
        let mebibytes = bytes.div_ceil(MIB);
        Size(format!(
            "{}Mi",
            mebibytes.checked_next_power_of_two().unwrap_or(mebibytes)
        ))
    })
}

fn pool_seen(seen: Option<&VolumeGroupSeen>, host: &Name) -> PoolHostStatus {
    let Some(seen) = seen else {
        return PoolHostStatus {
            node: host.clone(),
            state: Some(PoolState::Missing),
            capacity: None,
            free: None,
            promised: None,
            orphans: Vec::new(),
            message: None,
        };
    };
    let foreign = seen
        .volumes
        .iter()
        .filter(|volume| volume.owner.object().is_none());
    PoolHostStatus {
        node: host.clone(),
        state: Some(if seen.missing.is_empty() {
            PoolState::Ready
        } else {
            PoolState::Degraded
        }),
        capacity: Some(Size(seen.capacity.to_string())),
        free: Some(Size(seen.free.to_string())),
        promised: None,
        orphans: foreign.map(|volume| volume.name.clone()).collect(),
        message: seen
            .missing
            .first()
            .map(|disk| format!("{disk} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{Owner, Written};
    use quorate_crds::ReplicaRole;
    use quorate_crds::scalar::AbsolutePath;
    use std::collections::BTreeSet;

    fn replica(disk: DiskState) -> ReplicaSeen {
        ReplicaSeen {
            owner: Owner::Ours("data".into()),
            device: AbsolutePath("/dev/drbd1".into()),
            size: 1 << 40,
            role: ReplicaRole::Secondary,
            disk,
            open: false,
            frozen: false,
            two_primaries: false,
            as_adjusted: true,
            paced: true,
            out_of_sync: 0,
            sync: None,
            written: None,
            verify: None,
            peers: vec![PeerSeen {
                node: "an2".into(),
                connection: ConnectionState::Connected,
                role: ReplicaRole::Primary,
                disk: DiskState::UpToDate,
                split_brain: false,
            }],
        }
    }

    fn said(seen: &ReplicaSeen) -> ReplicaStatus {
        replica_seen(seen, &"an1".into(), 0)
    }

    /// A resync of a large disk lasts for hours, and each word of its host is a write of the store.
    #[test]
    fn in_a_whole_resync_a_host_says_a_few_times_how_far_it_is_and_its_source_never() {
        let mut target = replica(DiskState::Inconsistent);
        let mut source = replica(DiskState::UpToDate);
        source.peers[0].disk = DiskState::Inconsistent;
        let (mut by_target, mut by_source) = (BTreeSet::new(), BTreeSet::new());
        for permille in 0..1000_u64 {
            let left = (1 << 40) / 1000 * (1000 - permille);
            let sync = SyncProgress {
                percent: u32::try_from(permille / 10).ok(),
                rate: Some(Size(left.to_string())),
                remaining: Some(format!("{permille}s").as_str().into()),
            };
            for seen in [&mut target, &mut source] {
                (seen.out_of_sync, seen.sync) = (left, Some(sync.clone()));
            }
            by_target.insert(format!("{:?}", said(&target)));
            by_source.insert(format!("{:?}", said(&source)));
        }
        assert_eq!((by_target.len(), by_source.len()), (5, 1));
        let sync = said(&target).sync.expect("how far it is");
        assert_eq!(sync.percent, Some(80), "so much is done at least");
    }

    #[test]
    fn when_it_was_written_is_said_of_one_that_has_split_and_then_to_the_minute() {
        let mut seen = replica(DiskState::UpToDate);
        let since: Timestamp = "2026-11-22T09:00:00Z".parse().expect("a time");
        let last = "2026-11-22T10:11:12Z".parse().ok();
        seen.written = Some(Written { since, last });
        assert_eq!(said(&seen).watched_since, None, "it would be said for ever");
        seen.peers[0].split_brain = true;
        let told = said(&seen);
        assert_eq!(told.last_write, Some("2026-11-22T10:11:00Z".into()));
        assert_eq!(told.watched_since, Some(Time::from(since)));
    }

    /// A filesystem that is written all day must not be a write of the store with each look.
    #[test]
    fn what_is_left_of_a_filesystem_is_said_anew_when_it_has_changed_by_a_part_of_the_whole() {
        let mut seen = MountSeen {
            owner: Owner::Ours("files".into()),
            device: AbsolutePath("/dev/drbd7".into()),
            mount_point: AbsolutePath("/srv/files".into()),
            filesystem: "gfs2".into(),
            state: MountState::Mounted,
            journal: None,
            journals: None,
            quota: None,
            options: None,
            refused: None,
            capacity: 64 << 30,
            free: (10 << 30) + 5,
        };
        let mut said: MountStatus = serde_json::from_str(r#"{"node": "an1"}"#).expect("one");
        let mut words = BTreeSet::new();
        for turn in 0..1000_u64 {
            // It goes up and down about a border.
            seen.free = (10 << 30) + (turn % 2) - 1;
            said.free = Some(Size(left(&seen, Some(&said)).to_string()));
            words.insert(format!("{:?}", said.free));
        }
        assert!(words.len() <= 2, "it settles on one: {words:?}");
        seen.free = 5 << 30;
        assert_eq!(left(&seen, Some(&said)), 5 << 30);
    }

    #[test]
    fn a_replica_that_is_not_told_to_connect_yet_has_not_split() {
        let mut peer = PeerSeen {
            node: "an2".into(),
            connection: ConnectionState::StandAlone,
            role: ReplicaRole::Unknown,
            disk: DiskState::Unknown,
            split_brain: false,
        };
        assert_eq!(connection(&peer), ConnectionState::Disconnected);
        peer.split_brain = true;
        assert_eq!(connection(&peer), ConnectionState::StandAlone);
    }
}
