//! Snapshots that people ask for: taken once, below a replica that holds every write, kept on its host, and
//! removed when they are deleted or their time is over.
//!
//! What was taken is never taken again under the same name: it would show another moment than it says.

use crate::amounts::{bytes, later, moment, span, words};
use crate::outcome::{Outcome, condition};
use crate::records::checksum;
use crate::rights::{Answer, Presence, answer, observed};
use crate::round::Round;
use crate::state::{ClusterState, Index, Record, Subject, SubjectKind};
use crate::volumes::{filled_from, is_done_with};
use crate::{ObjectKey, Reason, Why, above};
use jiff::Timestamp;
use quorate_crds::{
    Assignment, ConditionStatus, DeletionPolicy, DiskState, NodeMode, NodePlanStatus, ReplicaData,
    ReplicaRole, ReplicaStatus, Size, SnapshotConsistency, SnapshotReason, StorageAssignment, Time,
    Volume, VolumeSnapshot, VolumeSnapshotStatus,
};

/// Without another word a snapshot may differ from its volume by this part of it.
const PART: u64 = 5;
/// LVM takes no longer names; this leaves room for its own endings.
const LONGEST_NAME: usize = 110;

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let mut taken = Taken::of(round.state);
    for (name, snapshot) in round.state.snapshots.iter() {
        let old = snapshot.status.clone().unwrap_or_default();
        let mut status = old.clone();
        status.observed_generation = snapshot.metadata.generation;
        let subject = Subject::new(SubjectKind::Snapshot, name);
        let one = One {
            round,
            name,
            snapshot,
            subject,
        };
        let Some(why) = one.decide(outcome, &mut status, &mut taken) else {
            outcome.decisions.delete.push(ObjectKey {
                kind: "VolumeSnapshot",
                name: name.to_owned(),
            });
            continue;
        };
        let ready = why.reason == Reason::SnapshotTaken;
        status.ready = Some(ready);
        outcome.why("VolumeSnapshot", name, why.reason, &why.message);
        condition(&mut status.conditions, "Ready", ready, &why, round.now);
        if ready != (old.ready == Some(true)) {
            outcome.event(round.now, one.subject.reference(), &why);
        }
        outcome.status("VolumeSnapshot", name, &old, &status);
    }
}

/// What snapshots take of the pools on their hosts.
pub(crate) struct Taken(Index<(String, String), u64>);

impl Taken {
    pub(crate) fn of(state: &ClusterState) -> Self {
        let mut taken = Self(Index::default());
        for (_, records) in state.records.of_kind(SubjectKind::Snapshot) {
            for (host, record) in records {
                let volume = volume_of(state, record);
                if let (Some(volume), Some(size)) = (volume, size_of(record)) {
                    taken.add(volume.spec.pool.as_str(), host, size);
                }
            }
        }
        taken
    }

    fn add(&mut self, pool: &str, host: &str, size: u64) {
        let key = (pool.to_owned(), host.to_owned());
        *self.0.entry(key).or_default() += size;
    }

    pub(crate) fn on(&self, pool: &str, host: &str) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let key = (pool.to_owned(), host.to_owned());
        self.0.get(&key).copied().unwrap_or(0)
    }
}

fn volume_of<'a>(state: &'a ClusterState, record: &Record) -> Option<&'a Volume> {
    let assigned = record.spec.assignment.as_ref()?;
    let snapshot = state.snapshots.get(assigned.object.name.as_str())?;
    let volume = state.volumes.get(snapshot.spec.volume.as_str())?;
    Some(volume)
}

fn size_of(record: &Record) -> Option<u64> {
    let assigned = record.spec.assignment.as_ref()?;
    assigned.storage.as_ref()?.size.as_ref().map(bytes)
}

/// Whether it is deleted, or its time is over.
pub(crate) fn is_over(snapshot: &VolumeSnapshot, now: Timestamp) -> bool {
    let ends = snapshot
        .status
        .as_ref()
        .and_then(|status| ends(snapshot, status));
    let expired = moment(ends.as_ref()).is_some_and(|ends| ends <= now);
    expired || snapshot.metadata.deletion_timestamp.is_some()
}

/// Where the host keeps it, if it does.
pub(crate) fn kept_on<'s>(
    state: &'s ClusterState,
    name: &str,
    host: &str,
) -> Option<&'s StorageAssignment> {
    let record = state.record(&Subject::new(SubjectKind::Snapshot, name), host)?;
    let assigned = record
        .spec
        .assignment
        .as_ref()
        .filter(|assigned| assigned.active)?;
    assigned.storage.as_ref()
}

fn ends(snapshot: &VolumeSnapshot, status: &VolumeSnapshotStatus) -> Option<Time> {
    let keep = snapshot.spec.keep_for.as_ref()?;
    let taken = moment(status.taken_at.as_ref())?;
    Some(Time::from(later(taken, span(keep))))
}

struct One<'r, 'a> {
    round: &'r Round<'a>,
    name: &'r str,
    snapshot: &'r VolumeSnapshot,
    subject: Subject,
}

impl One<'_, '_> {
    /// How it stands; none when it is over.
    fn decide(
        &self,
        outcome: &mut Outcome,
        status: &mut VolumeSnapshotStatus,
        taken: &mut Taken,
    ) -> Option<Why> {
        status.expires_at = ends(self.snapshot, status);
        let ends = moment(status.expires_at.as_ref());
        if let Some(ends) = ends.filter(|ends| *ends > self.round.now) {
            outcome.wake(ends);
        }
        let going = match ends.is_some_and(|ends| ends <= self.round.now) {
            true => Some("its time to be kept has passed"),
            false if is_done_with(self.round, self.name, self.snapshot) => {
                Some("what it was taken for is done")
            }
            false => None,
        };
        if going.is_some() || self.snapshot.metadata.deletion_timestamp.is_some() {
            return self.take_away(outcome, going);
        }
        let records = self.round.state.records_of(&self.subject);
        match records.into_iter().flatten().next() {
            Some((host, record)) => Some(self.watch(outcome, status, host, record)),
            None if status.taken_at.is_some() => Some(why(
                Reason::SnapshotGone,
                "its host is no part of the cluster any more",
            )),
            None => Some(self.take(outcome, status, taken)),
        }
    }

    /// Its data goes with it, unless it is to be retained.
    fn take_away(&self, outcome: &mut Outcome, by_itself: Option<&str>) -> Option<Why> {
        let records = self.round.state.records_of(&self.subject);
        let keeps =
            self.snapshot.spec.deletion_policy == DeletionPolicy::Retain && by_itself.is_none();
        let wanted = match keeps {
            true => ReplicaData::Keep,
            false => ReplicaData::Remove,
        };
        let active = |record: &Record| record.spec.assignment.as_ref().is_some_and(|it| it.active);
        let kept = records
            .into_iter()
            .flatten()
            .find(|(_, record)| active(record));
        if let (Some((host, _)), Some(volume)) = (kept, filled_from(self.round, self.name)) {
            outcome.keep(self.round.state, &self.subject, host);
            let text = format!("volume {volume} begins with it, and is not filled yet");
            return Some(why(Reason::Deleting, &text));
        }
        let mut waits = None;
        for (host, record) in records.into_iter().flatten() {
            let Some(assigned) = &record.spec.assignment else {
                continue;
            };
            let known = self.round.hosts.get(host);
            let told = !assigned.active && storage(record).is_some_and(|it| it.data == wanted);
            if known.is_none() || (told && answer(record) == Answer::Released) {
                continue;
            }
            waits = Some(host);
            if self.untouched(host) {
                outcome.keep(self.round.state, &self.subject, host);
                continue;
            }
            let mut going = assigned.clone();
            going.active = false;
            if let Some(storage) = &mut going.storage {
                storage.data = wanted;
            }
            outcome.assign(self.round.state, &self.subject, host, going);
        }
        let because = by_itself
            .map(|because| format!("{because}; "))
            .unwrap_or_default();
        waits.map(|host| {
            why(
                Reason::Deleting,
                &format!("{because}it is removed on {host}"),
            )
        })
    }

    /// It was ordered: what its host says of it.
    fn watch(
        &self,
        outcome: &mut Outcome,
        status: &mut VolumeSnapshotStatus,
        host: &str,
        record: &Record,
    ) -> Why {
        let done = answer(record) == Answer::Converged;
        let assigned = record.spec.assignment.as_ref();
        let ordered = storage(record).is_some_and(|storage| storage.make);
        if ordered && done && status.taken_at.is_none() {
            let at = observed(&self.round.hosts, record).and_then(made_at);
            let at = at.unwrap_or_else(|| Time::from(self.round.now));
            status.taken_at = Some(at);
            status.expires_at = ends(self.snapshot, status);
        }
        if self.untouched(host) {
            outcome.keep(self.round.state, &self.subject, host);
        } else if let Some(assigned) = assigned {
            let mut same = assigned.clone();
            if let Some(storage) = &mut same.storage {
                storage.make &= status.taken_at.is_none();
            }
            outcome.assign(self.round.state, &self.subject, host, same);
        }
        let there = self.round.hosts.is(host, Presence::Online);
        match (answer(record), &status.taken_at) {
            (Answer::Ended(_, message), Some(_)) if there => {
                why(Reason::SnapshotGone, &format!("{host}: {message}"))
            }
            (_, Some(_)) if !there => why(
                Reason::SnapshotWaits,
                &format!("it is kept on {host}, which is not there"),
            ),
            (_, Some(_)) => {
                let text =
                    format!("it is kept on {host}, as after a power cut (consistency Crash)");
                why(Reason::SnapshotTaken, &text)
            }
            (Answer::Ended(_, message), None) => {
                why(Reason::SnapshotWaits, &format!("{host}: {message}"))
            }
            (_, None) => why(Reason::SnapshotWaits, &format!("{host} takes it")),
        }
    }

    /// Orders it from the host that suits best.
    fn take(
        &self,
        outcome: &mut Outcome,
        status: &mut VolumeSnapshotStatus,
        taken: &mut Taken,
    ) -> Why {
        let spec = &self.snapshot.spec;
        let name = spec.volume.as_str();
        let Some(volume) = self.round.state.volumes.get(name) else {
            return why(
                Reason::SnapshotWaits,
                &format!("volume {name} does not exist"),
            );
        };
        if let Some(place) = above::place(self.round.state, volume) {
            let text = format!(
                "volume {name} lies in pool {} above volume {}: this release takes snapshots of \
                 replicated volumes only; take one of {}",
                place.pool, place.base, place.base
            );
            return why(Reason::NotSupported, &text);
        }
        if spec.consistency == SnapshotConsistency::Filesystem {
            let text = format!(
                "this release does not let the guest's agent freeze its filesystems; volume {name} \
                 is as it was: use consistency Crash, with the guest shut down where that is not enough"
            );
            return why(Reason::NotSupported, &text);
        }
        let view = &self.round.views[name];
        let fits = |replica: &&ReplicaStatus| {
            spec.node.as_ref().is_none_or(|node| *node == replica.node)
                && replica.disk == Some(DiskState::UpToDate)
                && view.in_sync.contains(&replica.node)
                && !self.untouched(replica.node.as_str())
        };
        let best = |replica: &&ReplicaStatus| {
            (
                replica.role != Some(ReplicaRole::Primary),
                replica.node.clone(),
            )
        };
        let Some(replica) = view.replicas.iter().filter(fits).min_by_key(best) else {
            let text = match &spec.node {
                Some(node) => format!("{node} has no replica of volume {name} that is UpToDate"),
                None => format!("no replica of volume {name} is UpToDate on a host that is there"),
            };
            return why(Reason::SnapshotWaits, &text);
        };
        let host = replica.node.as_str();
        let size = view
            .size
            .clone()
            .unwrap_or_else(|| volume.spec.size.clone());
        let need = match &spec.reserve {
            Some(reserve) => bytes(reserve),
            None => bytes(&size).div_ceil(PART),
        };
        let pool = volume.spec.pool.as_str();
        let room = self.room(pool, host);
        let used = taken.on(pool, host);
        if need > room.saturating_sub(used) {
            let text = format!(
                "{host}: needs {} of pool {pool} for what changes; {} are not promised to volumes, \
                 and other snapshots have {} of these",
                words(need),
                words(room),
                words(used)
            );
            return why(Reason::NoRoom, &text);
        }
        taken.add(pool, host, need);
        status.node = Some(replica.node.clone());
        status.size = Some(size);
        status.reason = Some(self.reason());
        let reserve = Size(format!("{}Ki", need.div_ceil(1024)));
        let told = self.assignment((name, volume), host, reserve);
        outcome.assign(self.round.state, &self.subject, host, told);
        why(Reason::SnapshotWaits, &format!("{host} takes it"))
    }

    fn reason(&self) -> SnapshotReason {
        let owners = self.snapshot.metadata.owner_references.iter().flatten();
        match owners
            .into_iter()
            .any(|owner| owner.kind == "Volume" && owner.controller == Some(true))
        {
            true => SnapshotReason::Source,
            false => SnapshotReason::Request,
        }
    }

    /// What the pool has on that host beside its volumes.
    fn room(&self, pool: &str, host: &str) -> u64 {
        let known = self.round.state.pools.get(pool);
        let status = known.and_then(|pool| pool.status.as_ref());
        let part = status.and_then(|status| {
            let mut parts = status.hosts.iter();
            parts.find(|part| part.node.as_str() == host)
        });
        let capacity = part
            .and_then(|part| part.capacity.as_ref())
            .map_or(0, bytes);
        let volumes = self.round.state.volumes.iter();
        let promised: u64 = volumes
            .filter(|(_, volume)| volume.spec.pool.as_str() == pool)
            .map(|(name, volume)| (&self.round.views[name], volume))
            .filter(|(view, _)| view.replicas.iter().any(|one| one.node.as_str() == host))
            .map(|(view, volume)| bytes(view.size.as_ref().unwrap_or(&volume.spec.size)))
            .sum();
        capacity.saturating_sub(promised)
    }

    fn untouched(&self, host: &str) -> bool {
        let known = self.round.hosts.get(host);
        known.is_none_or(|host| !host.online() || host.mode == NodeMode::Maintenance)
    }

    fn assignment(&self, (volume, spec): (&str, &Volume), host: &str, reserve: Size) -> Assignment {
        let pool = spec.spec.pool.as_str();
        let of = spec.spec.logical_volume.as_deref().unwrap_or(volume);
        let plain = format!("{of}-at-{}", self.name);
        let name = match plain.len() <= LONGEST_NAME {
            true => plain,
            false => format!("at-{:016x}", checksum(&plain)),
        };
        Assignment {
            object: self.subject.reference(),
            object_generation: None,
            epoch: 0,
            active: true,
            after: vec![Subject::volume(volume).reference()],
            network: None,
            storage: Some(StorageAssignment {
                volume_group: self.round.groups.of(pool, host).to_owned(),
                logical_volume: Some(name),
                size: Some(reserve),
                device: None,
                snapshot_of: Some(of.to_owned()),
                make: true,
                data: ReplicaData::Keep,
            }),
            replica: None,
            mount: None,
            guest: None,
            secrets: Vec::new(),
        }
    }
}

/// When the host saw that it is there.
fn made_at(said: &NodePlanStatus) -> Option<Time> {
    let mut conditions = said.conditions.iter();
    let converged =
        conditions.find(|one| one.type_ == "Converged" && one.status == ConditionStatus::True)?;
    Some(converged.last_transition_time.clone())
}

fn storage(record: &Record) -> Option<&StorageAssignment> {
    record.spec.assignment.as_ref()?.storage.as_ref()
}

fn why(reason: Reason, message: &str) -> Why {
    Why {
        reason,
        message: message.to_owned(),
    }
}
