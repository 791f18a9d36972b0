//! The volume group on a replicated volume: on which hosts it is there, and which of them makes it.

use super::turn::Turn;
use super::{Place, pool_refused};
use crate::amounts::{bytes, words};
use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, active, answer, held, observed};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use crate::volumes::{self, Asking, Room};
use crate::{Reason, Why};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Assignment, Name, NodeMode, PoolHostStatus, PoolState, ReplicaData, Size, StorageAssignment,
    StoragePool, StoragePoolStatus, Volume, VolumeAccess,
};
use std::collections::BTreeSet;

/// LVM gives space in pieces of this size.
const EXTENT: u64 = 4 << 20;

/// One group, while what lies in it is decided.
pub(super) struct Group<'a> {
    pub(super) place: Place<'a>,
    pub(super) turn: Turn,
    pub(super) refused: Option<Why>,
    /// Hosts on which something of it is, or may be, active.
    pub(super) busy: BTreeSet<String>,
    /// Something is to be made, or removed, and no host has anything of it yet.
    pub(super) work: bool,
    pool: &'a StoragePool,
    promised: u64,
}

impl<'a> Group<'a> {
    pub(super) fn of(
        round: &Round<'a>,
        place: Place<'a>,
        pool: &'a StoragePool,
        volumes: &[(&str, &Volume)],
    ) -> Self {
        let given = volumes
            .iter()
            .filter_map(|(_, volume)| volume.status.as_ref()?.size.as_ref());
        Self {
            place,
            turn: Turn::of(round, place.pool, volumes),
            refused: pool_refused(round.state, place.pool, pool, place.base),
            busy: BTreeSet::new(),
            work: false,
            pool,
            promised: given.map(whole).sum(),
        }
    }

    /// Whether the group was ever seen.
    pub(super) fn is_made(&self) -> bool {
        self.status().capacity.is_some()
    }

    pub(super) fn wipes(&self) -> bool {
        self.pool.spec.wipe_on_delete
    }

    fn status(&self) -> StoragePoolStatus {
        self.pool.status.clone().unwrap_or_default()
    }

    /// Promises a volume its space, in place of what it had before.
    pub(super) fn promise(&mut self, before: Option<&Size>, wanted: &Size) -> Result<(), Why> {
        let Some(capacity) = self.status().capacity else {
            return Err(Why {
                reason: Reason::BeingMade,
                message: format!("pool {} is not made yet", self.place.pool),
            });
        };
        let more = whole(wanted).saturating_sub(before.map_or(0, whole));
        let reserve = bytes(&self.pool.spec.reserve);
        let room = Room::of(bytes(&capacity), 100, reserve, self.promised);
        if room.free < more {
            return Err(Why {
                reason: Reason::NoRoom,
                message: format!(
                    "pool {}: needs {}; {}",
                    self.place.pool,
                    words(more),
                    room.arithmetic()
                ),
            });
        }
        self.promised += more;
        Ok(())
    }

    /// Whether the volume below is, or can be, open on that host for something new.
    pub(super) fn reaches(&self, round: &Round<'_>, host: &str) -> bool {
        let takes_part = round.hosts.get(host).is_some_and(|host| {
            host.online() && !matches!(host.mode, NodeMode::Maintenance | NodeMode::Withdrawn)
        });
        let Some(below) = round.state.volumes.get(self.place.base) else {
            return false;
        };
        let sound = self
            .record(round, host)
            .is_none_or(|record| !matches!(answer(record), Answer::Ended(..)));
        takes_part
            && sound
            && volumes::unwritable(round, self.place.base, below, host, Asking::default()).is_none()
    }

    /// The hosts that keep the volume below, by name.
    pub(super) fn keepers(&self, round: &Round<'_>) -> Vec<String> {
        let replicas = round.views.get(self.place.base).into_iter();
        let replicas = replicas.flat_map(|status| &status.replicas);
        let mut hosts: Vec<String> = replicas.map(|one| one.node.to_string()).collect();
        hosts.sort();
        hosts
    }

    fn subject(&self) -> Subject {
        Subject::new(SubjectKind::Pool, self.place.pool)
    }

    fn record<'r>(&self, round: &Round<'r>, host: &str) -> Option<&'r Record> {
        round.state.record(&self.subject(), host)
    }

    /// Decides where the group is to be there, now that everything in it is decided.
    pub(super) fn plan(mut self, round: &Round<'_>, outcome: &mut Outcome) {
        let subject = self.subject();
        let old = self.status();
        let mut status = old.clone();
        let pool = round.state.pools.get(self.place.pool);
        status.observed_generation = pool.and_then(|pool| pool.metadata.generation);
        let seats = self.seats(round);
        let holding: Vec<String> = round
            .state
            .records_of(&subject)
            .into_iter()
            .flatten()
            .filter(|(_, record)| held(&round.hosts, record))
            .map(|(host, _)| host.to_owned())
            .collect();
        // One host makes it, and lets it grow: the one that did so before, or else the first.
        let made_it = |host: &&String| {
            self.record(round, host).is_some_and(|record| {
                active(record) && storage(record).is_some_and(|storage| storage.size.is_some())
            })
        };
        let maker = seats.iter().find(made_it).or(seats.first()).cloned();
        for host in holding.iter().chain(&seats) {
            outcome.uses(self.place.base, host);
        }
        for host in &holding {
            if untouched(round, host) {
                outcome.keep(round.state, &subject, host);
            } else if !seats.contains(host) {
                let told = Assignment {
                    active: false,
                    ..self.assignment(round, host, None, false)
                };
                outcome.assign(round.state, &subject, host, told);
            }
        }
        for host in &seats {
            if untouched(round, host) {
                continue;
            }
            let makes = maker.as_ref() == Some(host);
            let (size, make) = match makes {
                true => self.made_as(round, host),
                false => (None, false),
            };
            if !make && !self.is_made() && !holding.contains(host) {
                // Until it is made nobody can see it.
                continue;
            }
            let told = self.assignment(round, host, size, make);
            outcome.assign(round.state, &subject, host, told);
        }
        self.describe(round, outcome, &seats, &mut status);
        outcome.status("StoragePool", self.place.pool, &old, &status);
    }

    /// The size as which that host made the group last, or is to make it now.
    fn made_as(&mut self, round: &Round<'_>, host: &str) -> (Option<Size>, bool) {
        let record = self.record(round, host).filter(|record| active(record));
        let before = record.and_then(storage);
        let size = before.and_then(|it| it.size.clone());
        let made = before.is_some_and(|it| !it.make)
            || record.is_some_and(|record| answer(record) == Answer::Converged);
        let wanted = self.size_below(round);
        if size == wanted || wanted.is_none() {
            return (size.clone(), size.is_some() && !made);
        }
        match self.turn.take(&self.subject(), host) {
            true => (wanted, true),
            false => (size, before.is_some_and(|it| it.make)),
        }
    }

    /// The hosts on which the group is to be there: wherever something of it is in use, and everywhere
    /// else where the volume below may be open at the same time.
    fn seats(&self, round: &Round<'_>) -> Vec<String> {
        let below = round.state.volumes.get(self.place.base);
        let many = below.is_some_and(|below| below.spec.access == VolumeAccess::MultiWriter);
        let closing = round.stopping()
            || self.refused.is_some()
            || self.pool.metadata.deletion_timestamp.is_some();
        let mut seats: BTreeSet<String> = self
            .busy
            .iter()
            .filter(|host| round.hosts.get(host).is_some_and(|host| host.online()))
            .cloned()
            .collect();
        let idle = !many && !self.work && self.is_made();
        if closing || idle {
            return seats.into_iter().collect();
        }
        for host in self.keepers(round) {
            let wanted = many || seats.is_empty();
            let stays = self.record(round, &host).is_some_and(|record| {
                active(record) && held(&round.hosts, record) && self.may_stay(round, &host)
            });
            if wanted && (stays || self.reaches(round, &host)) {
                seats.insert(host);
            }
        }
        seats.into_iter().collect()
    }

    fn may_stay(&self, round: &Round<'_>, host: &str) -> bool {
        let known = round.hosts.get(host);
        known.is_some_and(|host| host.online() && host.mode != NodeMode::Withdrawn)
    }

    /// How large the device below is by now, once every replica has said so.
    fn size_below(&self, round: &Round<'_>) -> Option<Size> {
        let status = round.views.get(self.place.base)?;
        let given = status.size.as_ref()?;
        let grown = status.replicas.iter().all(|replica| {
            let size = replica.size.as_ref();
            size.is_none_or(|size| bytes(size) >= bytes(given))
        });
        grown.then(|| given.clone())
    }

    fn assignment(
        &self,
        round: &Round<'_>,
        host: &str,
        size: Option<Size>,
        make: bool,
    ) -> Assignment {
        let base = self.place.base;
        Assignment {
            object: self.subject().reference(),
            object_generation: self.pool.metadata.generation,
            epoch: 0,
            active: true,
            after: vec![Subject::volume(base).reference()],
            network: None,
            storage: Some(StorageAssignment {
                volume_group: round.groups.of(self.place.pool, host).to_owned(),
                logical_volume: None,
                device: Some(AbsolutePath(volumes::device(round, base, host))),
                snapshot_of: None,
                make,
                size,
                data: ReplicaData::Keep,
            }),
            replica: None,
            mount: None,
            guest: None,
            secrets: Vec::new(),
        }
    }

    fn describe(
        &self,
        round: &Round<'_>,
        outcome: &mut Outcome,
        seats: &[String],
        status: &mut StoragePoolStatus,
    ) {
        let seen = |host: &String| -> Option<PoolHostStatus> {
            let record = self.record(round, host).filter(|record| active(record))?;
            let said = observed(&round.hosts, record)?.pool.clone()?;
            let trouble = match answer(record) {
                Answer::Ended(_, message) => Some(message),
                _ => None,
            };
            Some(PoolHostStatus {
                node: Name::from(host.as_str()),
                message: trouble.or(said.message),
                ..said
            })
        };
        status.hosts = seats.iter().filter_map(seen).collect();
        let ready = |one: &&PoolHostStatus| one.state == Some(PoolState::Ready);
        let largest = status
            .hosts
            .iter()
            .filter(ready)
            .filter_map(|one| one.capacity.clone())
            .max_by_key(bytes);
        if let Some(capacity) = largest {
            let left = bytes(&capacity)
                .saturating_sub(bytes(&self.pool.spec.reserve))
                .saturating_sub(self.promised);
            status.free = Some(Size(format!("{}Mi", left >> 20)));
            status.capacity = Some(capacity);
        }
        let base = self.place.base;
        let bad: Vec<String> = status
            .hosts
            .iter()
            .filter(|one| !ready(one))
            .map(|one| match &one.message {
                Some(message) => format!("{}: {message}", one.node),
                None => one.node.to_string(),
            })
            .collect();
        let sound: Vec<&str> = status
            .hosts
            .iter()
            .filter(ready)
            .map(|one| one.node.as_str())
            .collect();
        let (reason, message) = if let Some(why) = &self.refused {
            (why.reason, why.message.clone())
        } else if !bad.is_empty() && self.is_made() {
            let text = format!("it is not there on {}", bad.join("; "));
            (Reason::PoolIncomplete, text)
        } else if let Some(obstacle) = self.turn.obstacle.as_ref() {
            (
                Reason::PoolIncomplete,
                format!("it cannot be made: {obstacle}"),
            )
        } else if !sound.is_empty() {
            let whole = status.capacity.as_ref().map_or(0, bytes);
            let text = format!(
                "{} above volume {base}, open on {}",
                words(whole),
                sound.join(" and ")
            );
            (Reason::PoolReady, text)
        } else if status.capacity.is_some() && seats.is_empty() {
            let text = format!("volume {base} below it is closed: nothing in it is in use");
            (Reason::PoolReady, text)
        } else {
            (
                Reason::WaitingForVolume,
                format!("volume {base} below it is open on no host yet"),
            )
        };
        let why = Why { reason, message };
        outcome.why("StoragePool", self.place.pool, why.reason, &why.message);
        let so = why.reason == Reason::PoolReady;
        condition(&mut status.conditions, "Ready", so, &why, round.now);
    }
}

fn untouched(round: &Round<'_>, host: &str) -> bool {
    let known = round.hosts.get(host);
    known.is_none_or(|host| !host.online() || host.mode == NodeMode::Maintenance)
}

/// What it takes of the group.
fn whole(size: &Size) -> u64 {
    bytes(size).div_ceil(EXTENT) * EXTENT
}

fn storage(record: &Record) -> Option<&StorageAssignment> {
    record.spec.assignment.as_ref()?.storage.as_ref()
}
