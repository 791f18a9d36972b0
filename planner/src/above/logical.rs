//! A logical volume above a replicated one: made once, active where it is used, removed in its turn.

use super::group::Group;
use super::{refused, usable};
use crate::amounts::bytes;
use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, active, answer, held, is_true};
use crate::round::Round;
use crate::state::{Record, Subject};
use crate::{ObjectKey, Reason, Why, volumes};
use quorate_crds::{
    Assignment, DeletionPolicy, Name, NodeMode, ReplicaData, Size, StorageAssignment, Volume,
    VolumeState, VolumeStatus,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a host is told about it.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    active: bool,
    epoch: u64,
    /// The size that it is to be given from this host.
    make: Option<Size>,
    data: ReplicaData,
}

struct Logical<'l, 'a> {
    round: &'l Round<'a>,
    name: &'l str,
    volume: &'l Volume,
    subject: Subject,
    status: VolumeStatus,
    users: BTreeSet<String>,
    moving: Option<(String, String)>,
    refused: Option<Why>,
    /// Why it has not the space that it should have.
    lacking: Option<Why>,
}

pub(super) fn plan(
    round: &Round<'_>,
    outcome: &mut Outcome,
    group: &mut Group<'_>,
    (name, volume): (&str, &Volume),
) {
    let none = VolumeStatus::default();
    let old = volume.status.as_ref().unwrap_or(&none);
    let mut logical = Logical {
        round,
        name,
        volume,
        subject: Subject::volume(name),
        status: VolumeStatus {
            observed_generation: volume.metadata.generation,
            ..round.views[name].clone()
        },
        users: outcome.users.get(name).cloned().unwrap_or_default(),
        moving: outcome.moving.get(name).cloned(),
        refused: refused(round.state, name, volume, group.place),
        lacking: None,
    };
    if logical.is_gone(group) {
        return outcome.decisions.delete.push(ObjectKey {
            kind: "Volume",
            name: name.to_owned(),
        });
    }
    logical.note_what_was_made();
    logical.give_space(group);
    let told = logical.told(group);
    for (host, record) in logical.records() {
        if held(&round.hosts, record) {
            group.busy.insert(host.to_owned());
            if logical.untouched(host) {
                outcome.keep(round.state, &logical.subject, host);
            }
        }
    }
    for (host, told) in told.iter().filter(|(host, _)| !logical.untouched(host)) {
        group.busy.insert(host.clone());
        let assigned = logical.assignment(group, host, told);
        outcome.assign(round.state, &logical.subject, host, assigned);
    }
    logical.describe(outcome, group, old);
}

impl<'a> Logical<'_, 'a> {
    fn records(&self) -> impl Iterator<Item = (&'a str, &'a Record)> + use<'a> {
        let records = self.round.state.records_of(&self.subject);
        records.into_iter().flatten()
    }

    fn deleting(&self) -> bool {
        self.volume.metadata.deletion_timestamp.is_some()
    }

    fn untouched(&self, host: &str) -> bool {
        let known = self.round.hosts.get(host);
        known.is_none_or(|host| !host.online() || host.mode == NodeMode::Maintenance)
    }

    /// Whether its data is removed as well, and nobody holds anything of it any more.
    fn is_gone(&self, group: &Group<'_>) -> bool {
        let mut records = self.records();
        let removed = self.records().any(|(_, record)| {
            answer(record) == Answer::Released
                && storage(record).is_some_and(|storage| storage.data != ReplicaData::Keep)
        });
        let keeps = self.volume.spec.deletion_policy == DeletionPolicy::Retain;
        self.deleting()
            && self.users.is_empty()
            && (keeps || removed || !group.is_made())
            && !records.any(|(_, record)| held(&self.round.hosts, record) || active(record))
    }

    fn is_made(&self) -> bool {
        !matches!(self.status.state, None | Some(VolumeState::Pending))
    }

    /// Whether it has been given space that it does not take up yet.
    fn is_unfinished(&self) -> bool {
        let growing = is_true(&self.status.conditions, "Growing");
        self.status.size.is_some() && (!self.is_made() || growing)
    }

    /// A host that was told to make it, and says that it is so, has made it.
    fn note_what_was_made(&mut self) {
        let done = self.records().any(|(_, record)| {
            let told = storage(record).filter(|storage| storage.make && active(record));
            told.is_some_and(|storage| storage.size == self.status.size)
                && answer(record) == Answer::Converged
        });
        if !done {
            return;
        }
        if !self.is_made() {
            self.status.state = Some(VolumeState::Ready);
        }
        self.status.conditions.retain(|one| one.type_ != "Growing");
    }

    fn give_space(&mut self, group: &mut Group<'_>) {
        if self.deleting() || self.refused.is_some() {
            return;
        }
        let wanted = &self.volume.spec.size;
        let given = self.status.size.clone();
        if given
            .as_ref()
            .is_some_and(|given| bytes(given) >= bytes(wanted))
        {
            return;
        }
        match group.promise(given.as_ref(), wanted) {
            Err(why) => self.lacking = Some(why),
            Ok(()) => {
                self.status.size = Some(wanted.clone());
                if self.is_made() {
                    let why = growing(wanted);
                    condition(
                        &mut self.status.conditions,
                        "Growing",
                        true,
                        &why,
                        self.round.now,
                    );
                } else {
                    self.status.state = Some(VolumeState::Pending);
                }
            }
        }
    }

    fn told(&mut self, group: &mut Group<'_>) -> BTreeMap<String, Told> {
        let round = self.round;
        let unfinished = self.is_unfinished();
        let at_it = |record: &Record| {
            let before = storage(record).filter(|it| it.make && unfinished);
            before.and_then(|it| it.size.clone())
        };
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        let holders: Vec<(&str, &Record)> = self
            .records()
            .filter(|(_, record)| held(&round.hosts, record))
            .collect();
        for (host, record) in &holders {
            // Until something below says otherwise it is let go.
            let before = storage(record);
            told.insert(
                (*host).to_owned(),
                Told {
                    active: false,
                    epoch: epoch(record),
                    make: at_it(record),
                    data: before.map(|it| it.data).unwrap_or_default(),
                },
            );
        }
        for host in self.users.clone() {
            let record = round.state.record(&self.subject, &host);
            let mine = record.filter(|record| held(&round.hosts, record) && active(record));
            let alone = holders
                .iter()
                .all(|(other, _)| *other == host || self.go_together(other, &host));
            let epoch = match mine {
                Some(record) => epoch(record),
                None if alone && round.hosts.get(&host).is_some_and(|host| host.online()) => {
                    self.next_epoch()
                }
                None => continue,
            };
            let make = mine.and_then(at_it);
            told.insert(
                host,
                Told {
                    active: true,
                    epoch,
                    make,
                    data: ReplicaData::Keep,
                },
            );
        }
        if self.deleting() && self.users.is_empty() {
            self.remove(group, &holders, &mut told);
        } else if unfinished {
            self.make(group, &holders, &mut told);
        }
        told
    }

    /// Whether a guest that has it moves between these two hosts.
    fn go_together(&self, one: &str, other: &str) -> bool {
        let moving = self.moving.as_ref();
        moving
            .is_some_and(|(from, to)| (from == one && to == other) || (from == other && to == one))
    }

    fn next_epoch(&mut self) -> u64 {
        let epoch = self.status.epoch.unwrap_or(0) + 1;
        self.status.epoch = Some(epoch);
        epoch
    }

    /// Where it is active it is made larger; one that nobody uses is opened for that on the first host
    /// that can.
    fn make(
        &mut self,
        group: &mut Group<'_>,
        holders: &[(&str, &Record)],
        told: &mut BTreeMap<String, Told>,
    ) {
        let size = self.status.size.clone();
        let open = told
            .iter()
            .find(|(_, told)| told.active)
            .map(|(host, _)| host.clone());
        let again = holders
            .iter()
            .find(|(host, record)| active(record) && !self.untouched(host));
        let (host, epoch) = match (open, again) {
            (Some(host), _) => {
                let epoch = told[&host].epoch;
                (host, epoch)
            }
            (None, Some((host, record))) => ((*host).to_owned(), epoch(record)),
            (None, None) if holders.is_empty() => {
                let mut keepers = group.keepers(self.round).into_iter();
                let Some(host) = keepers.find(|host| group.reaches(self.round, host)) else {
                    group.work = true;
                    return;
                };
                if !group.turn.take(&self.subject, &host) {
                    return;
                }
                let epoch = self.next_epoch();
                (host, epoch)
            }
            (None, None) => return,
        };
        let so = told.get(&host).is_some_and(|told| told.make == size);
        let before = told.get(&host).and_then(|told| told.make.clone());
        let make = match so || group.turn.take(&self.subject, &host) {
            true => size,
            false => before,
        };
        told.insert(
            host,
            Told {
                active: true,
                epoch,
                make,
                data: ReplicaData::Keep,
            },
        );
    }

    fn remove(
        &mut self,
        group: &mut Group<'_>,
        holders: &[(&str, &Record)],
        told: &mut BTreeMap<String, Told>,
    ) {
        if self.volume.spec.deletion_policy == DeletionPolicy::Retain || !group.is_made() {
            return;
        }
        let data = match group.wipes() {
            true => ReplicaData::Wipe,
            false => ReplicaData::Remove,
        };
        let mut there = holders.iter().map(|(host, _)| (*host).to_owned());
        let host = match there.next() {
            Some(host) => Some(host),
            None => {
                let mut keepers = group.keepers(self.round).into_iter();
                keepers.find(|host| group.reaches(self.round, host))
            }
        };
        let Some(host) = host else {
            group.work = true;
            return;
        };
        // What another one still has is let go first.
        if holders.len() > 1 || !group.turn.take(&self.subject, &host) {
            group.work = true;
            return;
        }
        let epoch = told
            .get(&host)
            .map_or(self.status.epoch.unwrap_or(0), |it| it.epoch);
        told.insert(
            host,
            Told {
                active: false,
                epoch,
                make: None,
                data,
            },
        );
    }

    fn assignment(&self, group: &Group<'_>, host: &str, told: &Told) -> Assignment {
        let place = group.place;
        let name = self.volume.spec.logical_volume.as_deref();
        let pool = Subject::new(crate::state::SubjectKind::Pool, place.pool);
        Assignment {
            object: self.subject.reference(),
            object_generation: self.volume.metadata.generation,
            epoch: told.epoch,
            active: told.active,
            after: vec![Subject::volume(place.base).reference(), pool.reference()],
            network: None,
            storage: Some(StorageAssignment {
                volume_group: self.round.groups.of(place.pool, host).to_owned(),
                logical_volume: Some(name.unwrap_or(self.name).to_owned()),
                size: told.make.clone(),
                device: None,
                snapshot_of: None,
                make: told.make.is_some(),
                data: told.data,
            }),
            replica: None,
            mount: None,
            guest: None,
            secrets: Vec::new(),
        }
    }

    fn describe(mut self, outcome: &mut Outcome, group: &Group<'_>, old: &VolumeStatus) {
        let (round, name) = (self.round, self.name);
        self.status.primary = self
            .records()
            .filter(|(host, _)| usable::opened(round, name, host))
            .map(|(host, _)| Name::from(host))
            .collect();
        let below = round.views.get(group.place.base);
        self.status.in_sync_summary = below.and_then(|below| below.in_sync_summary.clone());
        self.status.sync_summary = below.and_then(|below| below.sync_summary.clone());
        let why = self.why(group, below);
        let before = old.state;
        self.status.state = Some(match (self.deleting(), self.is_made()) {
            (true, _) => VolumeState::Deleting,
            (false, false) => VolumeState::Pending,
            (false, true) => mirrored(below),
        });
        outcome.why("Volume", name, why.reason, &why.message);
        let conditions = &mut self.status.conditions;
        let in_sync = why.reason == Reason::InSync;
        condition(conditions, "InSync", in_sync, &why, round.now);
        if self.volume.metadata.deletion_timestamp.is_some() {
            condition(conditions, "Deleting", true, &why, round.now);
        }
        if is_true(conditions, "Growing")
            && let Some(size) = &self.status.size
        {
            let why = growing(size);
            outcome.why("Volume", name, why.reason, &why.message);
        }
        match &self.lacking {
            Some(lacking) if self.status.size.is_some() => {
                outcome.why("Volume", name, lacking.reason, &lacking.message);
                condition(conditions, "Growing", false, lacking, round.now);
            }
            _ => conditions.retain(|one| {
                one.type_ != "Growing" || is_true(std::slice::from_ref(one), "Growing")
            }),
        }
        let ready = volumes::usable(&self.status);
        condition(&mut self.status.conditions, "Ready", ready, &why, round.now);
        // What becomes of the volume below is told there.
        let born = before == Some(VolumeState::Pending) && self.status.state != before;
        if born {
            let why = Why {
                reason: why.reason,
                message: format!("it is made in pool {}: {}", group.place.pool, why.message),
            };
            outcome.event(round.now, self.subject.reference(), &why);
        }
        outcome.status("Volume", name, old, &self.status);
    }

    fn why(&self, group: &Group<'_>, below: Option<&VolumeStatus>) -> Why {
        let about = |reason, message| Why { reason, message };
        if let Some(refused) = &self.refused {
            return refused.clone();
        }
        if self.deleting() {
            let users: Vec<&str> = self.users.iter().map(String::as_str).collect();
            let text = match (users.is_empty(), group.turn.holder()) {
                (false, _) => format!("something on {} still uses it", users.join(" and ")),
                (true, Some(holder)) => format!("it is removed in its turn: {holder}"),
                (true, None) => "it is being removed".to_owned(),
            };
            return about(Reason::Deleting, text);
        }
        if !self.is_made() {
            if let Some(lacking) = &self.lacking {
                return lacking.clone();
            }
            let text = match (&group.turn.obstacle, group.turn.holder()) {
                (Some(obstacle), _) => obstacle.clone(),
                (None, Some(holder)) => format!("it is made in its turn: {holder}"),
                (None, None) => format!(
                    "volume {} below it is open on no host yet",
                    group.place.base
                ),
            };
            return about(Reason::BeingMade, text);
        }
        let mut conditions = below.into_iter().flat_map(|below| &below.conditions);
        let said = conditions.find(|one| one.type_ == "InSync");
        let text = said.map_or("nothing is known of it", |said| said.message.as_str());
        let text = format!("volume {} below it: {text}", group.place.base);
        let reason = match below.and_then(|below| below.state) {
            Some(VolumeState::Ready) => Reason::InSync,
            Some(VolumeState::Syncing) => Reason::CatchingUp,
            Some(VolumeState::Degraded) => Reason::Degraded,
            Some(VolumeState::Frozen) => Reason::WritesFrozen,
            Some(VolumeState::SplitBrain) => Reason::SplitBrain,
            Some(VolumeState::Deleting) => Reason::Deleting,
            Some(VolumeState::Pending | VolumeState::Lost) | None => Reason::DataNotReachable,
        };
        about(reason, text)
    }
}

/// It is as the volume below it is.
fn mirrored(below: Option<&VolumeStatus>) -> VolumeState {
    match below.and_then(|below| below.state) {
        Some(state @ (VolumeState::Ready | VolumeState::Syncing | VolumeState::Degraded)) => state,
        // The split is the one of the volume below; here nothing can be chosen.
        Some(VolumeState::Frozen | VolumeState::SplitBrain) => VolumeState::Frozen,
        Some(VolumeState::Pending | VolumeState::Lost | VolumeState::Deleting) | None => {
            VolumeState::Lost
        }
    }
}

fn growing(size: &Size) -> Why {
    Why {
        reason: Reason::Growing,
        message: format!("it is to be {size}"),
    }
}

fn storage(record: &Record) -> Option<&StorageAssignment> {
    record.spec.assignment.as_ref()?.storage.as_ref()
}

fn epoch(record: &Record) -> u64 {
    record.spec.assignment.as_ref().map_or(0, |held| held.epoch)
}
