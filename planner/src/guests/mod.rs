//! What becomes of every guest, the most important first.

mod assignment;
mod migration;
mod moves;
mod place;
mod running;
mod traffic;

use crate::amounts::{later, moment, span};
use crate::mistake::{Mistake, made};
use crate::order::Starts;
use crate::outcome::{Outcome, condition};
use crate::placement::Ledger;
use crate::records::Ending;
use crate::rights::{Answer, Presence, active, answer, held, observed, seen_on};
use crate::round::Round;
use crate::state::{About, Record, Subject, SubjectKind};
use crate::volumes;
use crate::{ObjectKey, Reason, Why};
use assignment::{Told, assignment, step};
use jiff::Timestamp;
use quorate_crds::{
    Assignment, DesiredState, GuestFailure, GuestState, GuestStep, GuestVolume, Name, NodeMode,
    PlacementStatus, Time, VirtualMachine, VirtualMachineStatus, VolumeState,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use traffic::Traffic;

/// What keeps the object of a guest that is deleted, until it is off everywhere.
pub const GUEST_FINALIZER: &str = "quorate.dev/guest";

pub(crate) type Guest<'a> = (&'a str, &'a VirtualMachine);

/// What guests share while they are decided one after the other.
struct Work<'r, 'a> {
    round: &'r Round<'a>,
    outcome: &'r mut Outcome,
    ledger: Ledger<'a>,
    /// Counted when the first guest is to be started.
    starts: Option<Starts<'a>>,
    traffic: Traffic<'a>,
    /// Guests that are started after a guest, while they still hold anything: it stops after them.
    leaning: BTreeMap<&'a str, Vec<&'a str>>,
}

pub(crate) fn plan<'a>(round: &Round<'a>, outcome: &mut Outcome) {
    volumes::plan_inline(round, outcome);
    let mut order: Vec<Guest<'a>> = round
        .state
        .guests
        .iter()
        .map(|(name, guest)| (name, guest.as_ref()))
        .collect();
    // They come by name, and stay so among equals.
    order.sort_by_cached_key(|(_, guest)| Reverse(guest.spec.priority));
    let mut ledger = Ledger::of(round);
    let mut leaning: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, guest) in &order {
        let mut somewhere = false;
        for (host, _) in holding(round, name) {
            ledger.promise(host, name, guest);
            somewhere = true;
        }
        if let Some(host) = unknown_yet(round, (name, guest)) {
            ledger.promise(host, name, guest);
        }
        if somewhere && round.stopping() {
            for after in &guest.spec.start.after {
                leaning.entry(after.guest.as_str()).or_default().push(name);
            }
        }
    }
    let mut work = Work {
        round,
        outcome,
        ledger,
        starts: None,
        traffic: Traffic::of(round),
        leaning,
    };
    for guest in order {
        work.decide(guest);
    }
    let Work {
        traffic, outcome, ..
    } = work;
    traffic.settle(round, outcome);
    use_volumes(round, outcome);
}

/// The records under which the guest may be active on a host.
fn holding<'a>(round: &Round<'a>, name: &str) -> Vec<(&'a str, &'a Record)> {
    let records = round.state.records_of(About::guest(name));
    records
        .into_iter()
        .flatten()
        .filter(|(_, record)| held(&round.hosts, record))
        .collect()
}

/// Where a guest runs that no record knows yet.
fn unknown_yet<'a>(round: &Round<'a>, (name, guest): Guest<'a>) -> Option<&'a str> {
    match round.state.records_of(About::guest(name)) {
        Some(_) => None,
        None => seen_on(&round.hosts, guest),
    }
}

/// Every host on which a guest is, or may be, needs the volumes that it was told of, also when the
/// guest's object is gone or has other disks by now.
fn use_volumes(round: &Round<'_>, outcome: &mut Outcome) {
    let wanted = outcome.assignments();
    let mut told: Vec<(String, String)> = Vec::new();
    for (subject, host, assigned) in wanted.fresh() {
        if subject.kind == SubjectKind::Guest {
            let volumes = used_by(assigned).map(|volume| (volume.to_owned(), host.to_owned()));
            told.extend(volumes);
        }
    }
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for (subject, table) in round.state.records.of_kind(SubjectKind::Guest) {
        for (host, record) in table {
            if let Some(assigned) = &record.spec.assignment
                && (held(&round.hosts, record) || wanted.keeps(subject, host, record))
            {
                kept.extend(used_by(assigned).map(|volume| (volume, host)));
            }
        }
    }
    for (volume, host) in kept {
        outcome.uses(volume, host);
    }
    for (volume, host) in told {
        outcome.uses(&volume, &host);
    }
}

fn used_by(assigned: &Assignment) -> impl Iterator<Item = &str> {
    let needed = assigned.after.iter().filter(|one| one.kind == "Volume");
    needed.map(|one| one.name.as_str())
}

impl<'a> Work<'_, 'a> {
    fn decide(&mut self, (name, guest): Guest<'a>) {
        let round = self.round;
        let subject = Subject::guest(name);
        if self.is_gone((name, guest)) {
            return self.outcome.decisions.delete.push(ObjectKey {
                kind: "VirtualMachine",
                name: name.to_owned(),
            });
        }
        let mut status = guest.status.clone().unwrap_or_default();
        self.give_another_chance((name, guest), &mut status);
        status.observed_generation = guest.metadata.generation;
        self.forget_old_failures(guest, &mut status);
        let why = self.fate((name, guest), &mut status);
        self.say_if_stuck(name, &mut status);
        self.observe((name, guest), &mut status);
        let old = guest.status.as_ref();
        let scheduled = matches!(
            why.reason,
            Reason::Placed
                | Reason::Running
                | Reason::Migrating
                | Reason::Recovered
                | Reason::Relocated
                | Reason::RestartedInPlace
                | Reason::Restarted
                | Reason::Migrated
        );
        self.outcome
            .why("VirtualMachine", name, why.reason, &why.message);
        if self.outcome.is_explained()
            && scheduled
            && let Some(placement) = &status.placement
        {
            let message = placement.message.clone().unwrap_or_default();
            let reason = placed_because(&status);
            if reason != why.reason {
                self.outcome.why("VirtualMachine", name, reason, &message);
            }
        }
        condition(
            &mut status.conditions,
            "Scheduled",
            scheduled,
            &why,
            round.now,
        );
        let ready = match guest.spec.desired_state {
            DesiredState::Running => {
                matches!(
                    status.state,
                    Some(GuestState::Running | GuestState::Migrating)
                )
            }
            DesiredState::Paused => status.state == Some(GuestState::Paused),
            DesiredState::Stopped => status.state == Some(GuestState::Stopped),
        };
        condition(&mut status.conditions, "Ready", ready, &why, round.now);
        let before = old.map(|old| (old.epoch, old.state));
        let moved = before != Some((status.epoch, status.state));
        let same_state = old.is_some_and(|old| old.state == status.state);
        let told = old.is_some_and(|old| {
            let mut conditions = old.conditions.iter();
            conditions.any(|one| one.type_ == "Ready" && one.reason == why.reason.as_str())
        });
        let quiet = why.reason == Reason::Running && same_state;
        if (moved || !(told || scheduled)) && !quiet {
            self.outcome.event(round.now, subject.reference(), &why);
        }
        let none = VirtualMachineStatus::default();
        let old = old.unwrap_or(&none);
        self.outcome.status("VirtualMachine", name, old, &status);
    }

    /// A guest that is deleted goes when no host holds anything of it any more, and nothing but us waits
    /// for that.
    fn is_gone(&self, (name, guest): Guest<'a>) -> bool {
        let waiting = guest.metadata.finalizers.as_deref().unwrap_or_default();
        let ours = waiting.is_empty() || waiting.iter().any(|one| one == GUEST_FINALIZER);
        guest.metadata.deletion_timestamp.is_some()
            && ours
            && holding(self.round, name).is_empty()
            && unknown_yet(self.round, (name, guest)).is_none()
    }

    /// Whether it may not stay where it is, and cannot go.
    fn say_if_stuck(&mut self, name: &str, status: &mut VirtualMachineStatus) {
        let conditions = &mut status.conditions;
        let Some(why) = self.outcome.stuck.get(name).cloned() else {
            return conditions.retain(|one| one.type_ != "Movable");
        };
        let known = conditions.iter().any(|one| one.type_ == "Movable");
        condition(conditions, "Movable", false, &why, self.round.now);
        if !known {
            let guest = Subject::guest(name).reference();
            self.outcome.event(self.round.now, guest, &why);
        }
    }

    fn fate(&mut self, (name, guest): Guest<'a>, status: &mut VirtualMachineStatus) -> Why {
        let round = self.round;
        let records = holding(round, name);
        let wanted = guest.spec.desired_state != DesiredState::Stopped
            && guest.metadata.deletion_timestamp.is_none()
            && !round.stopping();
        let found = unknown_yet(round, (name, guest));
        let in_maintenance = |host: &str| {
            let host = round.hosts.get(host);
            host.is_some_and(|host| host.mode == NodeMode::Maintenance)
        };
        let mut on = records.iter().map(|(host, _)| *host).chain(found);
        let left_alone = !guest.spec.managed && guest.metadata.deletion_timestamp.is_none();
        if left_alone || on.any(in_maintenance) {
            self.keep(name);
            if let Some((_, record)) = records.iter().find(|(_, record)| active(record)) {
                self.take_note(record, status);
            }
            return why(Reason::NotManaged, "it, or its host, is left alone");
        }
        if let Some(host) = found {
            return self.take_over((name, guest), host, status);
        }
        let of_step = |receiving: bool| {
            let mut fitting: Vec<&(&str, &Record)> = records
                .iter()
                .filter(|(_, record)| {
                    active(record) && (step(record) == GuestStep::Receive) == receiving
                })
                .collect();
            // More than one only after evidence was contradicted: the newest right counts.
            fitting.sort_by_key(|(_, record)| Reverse(epoch(record)));
            fitting.first().map(|(host, record)| (*host, *record))
        };
        let (main, target) = (of_step(false), of_step(true));
        for (host, record) in &records {
            let counts = [main, target].iter().flatten().any(|(one, _)| one == host);
            if !counts {
                self.withdraw((name, guest), host, record);
            }
        }
        if let Some(target) = target {
            return self.in_flight((name, guest), main, target, wanted, status);
        }
        if let Some((host, record)) = main {
            return match round.hosts.get(host).map(|host| host.presence) {
                Some(Presence::Online) => self.running((name, guest), record, wanted, status),
                _ => self.unheard(name, host, status),
            };
        }
        if let Some((host, record)) = records.first() {
            if !round.hosts.is(host, Presence::Online) {
                return self.unheard(name, host, status);
            }
            if wanted {
                // What arrived there and is thrown away was never the guest itself.
                let discarded =
                    step(record) == GuestStep::Release && assignment::migration(record).is_none();
                if status.state != Some(GuestState::Failed) && !discarded {
                    enter(status, GuestState::Stopping, round.now);
                }
                let text = format!("{host} is letting go of it");
                return why(Reason::WaitingForRelease, &text);
            }
            enter(status, GuestState::Stopping, round.now);
            let (reason, _) = why_off(guest);
            return why(reason, &format!("it is being shut down on {host}"));
        }
        status.node = None;
        if wanted {
            return self.place((name, guest), status);
        }
        enter(status, GuestState::Stopped, round.now);
        let (reason, text) = why_off(guest);
        why(reason, text)
    }

    /// What became of a guest that is left alone.
    fn take_note(&self, record: &Record, status: &mut VirtualMachineStatus) {
        let state = match answer(record) {
            Answer::Ended(Ending::GuestPoweredOff, _) => GuestState::Stopped,
            Answer::Ended(Ending::GuestCrashed | Ending::NotPossible | Ending::NotStarted, _) => {
                GuestState::Failed
            }
            _ => return,
        };
        enter(status, state, self.round.now);
    }

    /// A host that holds it is not heard: nothing moves before it is safe.
    fn unheard(&mut self, name: &str, host: &str, status: &mut VirtualMachineStatus) -> Why {
        self.keep(name);
        enter(status, GuestState::Unknown, self.round.now);
        match self.round.hosts.get(host).map(|host| host.presence) {
            Some(Presence::Silent) => why(
                Reason::WaitingForFence,
                &format!("{host} is silent and not confirmed off"),
            ),
            _ => why(
                Reason::HostAway,
                &format!("{host} did not say that it let go"),
            ),
        }
    }

    /// A guest that was there before us is taken over without being touched.
    fn take_over(
        &mut self,
        (name, guest): Guest<'a>,
        host: &'a str,
        status: &mut VirtualMachineStatus,
    ) -> Why {
        if !self.round.hosts.is(host, Presence::Online) {
            return self.unheard(name, host, status);
        }
        let text = "it was found running there and is taken over";
        self.give((name, guest), host, why(Reason::Placed, text), status)
    }

    /// Gives the right to run it, under a new epoch.
    fn give(
        &mut self,
        (name, guest): Guest<'a>,
        host: &str,
        why: Why,
        status: &mut VirtualMachineStatus,
    ) -> Why {
        let again = u64::from(!(made(Mistake::EpochIsReused) && status.epoch.is_some()));
        let epoch = status.epoch.unwrap_or(0) + again;
        status.epoch = Some(epoch);
        status.restarted_for = restart_wish(guest).map(str::to_owned);
        status
            .conditions
            .retain(|condition| condition.type_ != "StartDelayed");
        settle_on(status, host, &why, self.round.now);
        enter(status, GuestState::Starting, self.round.now);
        let told = assignment((name, guest), epoch, Told::Run);
        self.outcome
            .assign(self.round.state, &Subject::guest(name), host, told);
        why
    }

    /// Takes the right away; it has ended when the host says so.
    fn withdraw(&mut self, (name, guest): Guest<'_>, host: &str, record: &Record) {
        let subject = Subject::guest(name);
        if !self.round.hosts.is(host, Presence::Online) && !active(record) {
            return self.outcome.keep(self.round.state, &subject, host);
        }
        let told = match (step(record), assignment::handed_over(record)) {
            (_, Some(migration)) => Told::HandOver(migration.clone()),
            (GuestStep::Receive | GuestStep::Release, None) => Told::Discard,
            (GuestStep::Keep | GuestStep::Send, None) => Told::Stop,
        };
        let assigned = assignment((name, guest), epoch(record), told);
        self.outcome
            .assign(self.round.state, &subject, host, assigned);
    }

    /// What is written stays written.
    fn keep(&mut self, name: &str) {
        let subject = Subject::guest(name);
        for (host, _) in self.round.state.records_of(&subject).into_iter().flatten() {
            self.outcome.keep(self.round.state, &subject, host);
        }
    }

    /// What its host sees of it, for people.
    fn observe(&self, (name, guest): Guest<'_>, status: &mut VirtualMachineStatus) {
        let host = status.node.as_ref().map(Name::as_str);
        let record = host.and_then(|host| self.round.state.record(About::guest(name), host));
        let seen = record
            .and_then(|record| observed(&self.round.hosts, record))
            .and_then(|status| status.guest.as_ref());
        match seen {
            Some(seen) => {
                update(&mut status.agent, &seen.agent);
                update(&mut status.display, &seen.display);
                update(&mut status.nics, &seen.nics);
                update(&mut status.resources, &seen.resources);
            }
            None => {
                status.agent = None;
                status.display = None;
                status.resources = None;
            }
        }
        status.volumes = guest
            .spec
            .disks
            .iter()
            .filter_map(|disk| {
                let volume = volumes::of_disk(name, disk)?;
                let state = self.round.views.get(volume.as_str())?.state;
                Some(GuestVolume {
                    disk: disk.name.clone(),
                    volume: Name(volume),
                    ready: Some(matches!(
                        state,
                        Some(VolumeState::Ready | VolumeState::Syncing | VolumeState::Degraded)
                    )),
                })
            })
            .collect();
    }

    /// A guest that nobody has, because it failed, is tried anew when a person has changed it, or asks
    /// for a restart.
    fn give_another_chance(&self, (name, guest): Guest<'a>, status: &mut VirtualMachineStatus) {
        let seen = status.observed_generation;
        let changed = seen.is_some() && guest.metadata.generation > seen;
        let wish = restart_wish(guest);
        let wished = wish.is_some() && wish != status.restarted_for.as_deref();
        if (changed || wished)
            && !status.failures.is_empty()
            && holding(self.round, name).is_empty()
        {
            status.failures.clear();
            status.restart_count = Some(0);
        }
    }

    fn forget_old_failures(&mut self, guest: &VirtualMachine, status: &mut VirtualMachineStatus) {
        if status.restart_count.is_some() && status.failures.is_empty() {
            status.restart_count = Some(0);
        }
        if status.failures.is_empty() {
            return;
        }
        let window = span(&guest.spec.recovery.restart_window);
        let now = self.round.now;
        let end = |failure: &GuestFailure| {
            later(moment(Some(&failure.at)).unwrap_or(Timestamp::MIN), window)
        };
        status.failures.retain(|failure| end(failure) > now);
        if let Some(first) = status.failures.iter().map(end).min() {
            self.outcome.wake(first);
        }
        if status.restart_count.is_some() {
            status.restart_count = u32::try_from(own_failures(status).count()).ok();
        }
    }
}

/// Most is as it was, and comparing costs less than copying.
fn update<T: Clone + PartialEq>(known: &mut T, seen: &T) {
    if known != seen {
        known.clone_from(seen);
    }
}

fn settle_on(status: &mut VirtualMachineStatus, host: &str, why: &Why, now: Timestamp) {
    status.node = Some(Name::from(host));
    status.placement = Some(PlacementStatus {
        node: Some(Name::from(host)),
        reason: Some(why.reason.to_string()),
        message: Some(why.message.clone()),
        since: Some(Time::from(now)),
    });
}

/// Why it is not to run.
fn why_off(guest: &VirtualMachine) -> (Reason, &'static str) {
    match guest.metadata.deletion_timestamp {
        Some(_) => (Reason::Deleting, "it is deleted"),
        None => (Reason::StopWanted, "it is to be off"),
    }
}

/// A person's wish that it be restarted once: any new value of the annotation.
fn restart_wish(guest: &VirtualMachine) -> Option<&str> {
    let annotations = guest.metadata.annotations.as_ref()?;
    annotations.get("quorate.dev/restart").map(String::as_str)
}

fn epoch(record: &Record) -> u64 {
    record.spec.assignment.as_ref().map_or(0, |held| held.epoch)
}

/// The failures of the guest itself. That a host cannot run it says something about the host.
fn own_failures(status: &VirtualMachineStatus) -> impl Iterator<Item = &GuestFailure> {
    let failures = status.failures.iter();
    failures.filter(|failure| !is_of_host(failure))
}

fn is_of_host(failure: &GuestFailure) -> bool {
    failure.reason.as_deref() == Some(Ending::NotPossible.as_str())
}

fn is_on(failure: &GuestFailure, host: &str) -> bool {
    let node = failure.node.as_ref();
    node.is_some_and(|node| node.as_str() == host)
}

fn failures_on(status: &VirtualMachineStatus, host: &str) -> u32 {
    let there = own_failures(status).filter(|failure| is_on(failure, host));
    u32::try_from(there.count()).unwrap_or(u32::MAX)
}

fn placed_because(status: &VirtualMachineStatus) -> Reason {
    let word = status
        .placement
        .as_ref()
        .and_then(|placement| placement.reason.as_deref());
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| Some(reason.as_str()) == word)
        .unwrap_or(Reason::Placed)
}

fn enter(status: &mut VirtualMachineStatus, state: GuestState, now: Timestamp) {
    if status.state != Some(state) {
        status.state = Some(state);
        status.since = Some(Time::from(now));
    }
}

fn why(reason: Reason, message: &str) -> Why {
    Why {
        reason,
        message: message.to_owned(),
    }
}
