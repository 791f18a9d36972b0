//! Which migrations are under way, whose turn it is, and what becomes of their objects.

use crate::amounts::{later, moment, span};
use crate::outcome::{Outcome, condition};
use crate::round::Round;
use crate::{ObjectKey, Reason, Why};
use jiff::{SignedDuration, Timestamp};
use quorate_crds::{
    MigrationPhase, Name, ObjectReference, Time, VirtualMachineMigration,
    VirtualMachineMigrationStatus,
};
use std::collections::BTreeMap;

/// After a migration came to nothing, how long the planner waits before it tries the guest again.
const PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// A migration that is not over.
#[derive(Clone, Copy)]
pub(super) struct Running<'a> {
    pub(super) name: &'a str,
    pub(super) object: &'a VirtualMachineMigration,
}

/// Migrations, seen together.
pub(super) struct Traffic<'a> {
    /// The one of each guest whose turn it is.
    current: BTreeMap<&'a str, Running<'a>>,
    /// How many each host takes part in.
    busy: BTreeMap<String, u32>,
    /// When the last one of each guest came to nothing.
    failed: BTreeMap<&'a str, Timestamp>,
    statuses: BTreeMap<&'a str, VirtualMachineMigrationStatus>,
}

impl<'a> Traffic<'a> {
    pub(super) fn of(round: &Round<'a>) -> Self {
        let mut traffic = Self {
            current: BTreeMap::new(),
            busy: BTreeMap::new(),
            failed: BTreeMap::new(),
            statuses: BTreeMap::new(),
        };
        for (name, object) in round.state.migrations.iter() {
            let status = object.status.clone().unwrap_or_default();
            let guest = object.spec.virtual_machine.as_str();
            let phase = status.phase;
            if over(phase) {
                if phase != Some(MigrationPhase::Succeeded)
                    && let Some(end) = moment(status.finished_at.as_ref())
                {
                    let last = traffic.failed.entry(guest).or_insert(end);
                    *last = (*last).max(end);
                }
            } else {
                if under_way(phase) {
                    for host in status.source.iter().chain(&status.target) {
                        *traffic.busy.entry(host.to_string()).or_default() += 1;
                    }
                }
                let first = traffic.current.get(guest).is_none_or(|known| {
                    let known = known.object.status.as_ref();
                    under_way(phase) && !under_way(known.and_then(|known| known.phase))
                });
                if first {
                    let running = Running { name, object };
                    traffic.current.insert(guest, running);
                }
            }
            traffic.statuses.insert(name, status);
        }
        traffic
    }

    pub(super) fn of_guest(&self, guest: &str) -> Option<Running<'a>> {
        let running = self.current.get(guest)?;
        (!over(self.status(running.name).phase)).then_some(*running)
    }

    /// When the guest may be moved again, after a migration that came to nothing.
    pub(super) fn paused_until(&self, guest: &str, now: Timestamp) -> Option<Timestamp> {
        let end = later(*self.failed.get(guest)?, PAUSE);
        (end > now).then_some(end)
    }

    pub(super) fn busy(&self, host: &str) -> u32 {
        self.busy.get(host).copied().unwrap_or(0)
    }

    /// Whether no guest is on its way, or is about to be.
    pub(super) fn rests(&self) -> bool {
        self.current.is_empty() && self.busy.is_empty()
    }

    pub(super) fn occupy(&mut self, hosts: [&str; 2]) {
        for host in hosts {
            *self.busy.entry(host.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn status(&self, name: &str) -> VirtualMachineMigrationStatus {
        self.statuses.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn say(&mut self, name: &'a str, phase: MigrationPhase, why: &Why, now: Timestamp) {
        let status = self.statuses.entry(name).or_default();
        status.phase = Some(phase);
        let done = over(Some(phase));
        if done && status.finished_at.is_none() {
            status.finished_at = Some(Time::from(now));
        }
        status.reason = Some(why.reason.to_string());
        status.message = Some(why.message.chars().take(1000).collect());
        let complete = phase == MigrationPhase::Succeeded;
        condition(&mut status.conditions, "Complete", complete, why, now);
    }

    pub(super) fn change(
        &mut self,
        name: &'a str,
        change: impl FnOnce(&mut VirtualMachineMigrationStatus),
    ) {
        change(self.statuses.entry(name).or_default());
    }

    /// Whether the storage of the guest allows its move.
    pub(super) fn storage(&mut self, name: &'a str, so: bool, why: &Why, now: Timestamp) {
        let status = self.statuses.entry(name).or_default();
        condition(&mut status.conditions, "StorageInSync", so, why, now);
    }

    /// Writes what has become of the objects, and lets go of those that were kept long enough.
    pub(super) fn settle(mut self, round: &Round<'a>, outcome: &mut Outcome) {
        for (name, object) in round.state.migrations.iter() {
            let guest = object.spec.virtual_machine.as_str();
            let status = self.status(name);
            let mine = self.current.get(guest).is_some_and(|one| one.name == name);
            if !over(status.phase) && !round.state.guests.contains_key(guest) {
                let message = format!("there is no VirtualMachine {guest}");
                let reason = Reason::MigrationFailed;
                let why = Why { reason, message };
                self.say(name, MigrationPhase::Failed, &why, round.now);
            } else if !over(status.phase) && !mine {
                let why = if object.spec.cancel {
                    cancelled()
                } else {
                    Why {
                        reason: Reason::MigrationWaits,
                        message: "another migration of the guest goes first".to_owned(),
                    }
                };
                let phase = match object.spec.cancel {
                    true => MigrationPhase::Cancelled,
                    false => MigrationPhase::Pending,
                };
                self.say(name, phase, &why, round.now);
            }
            let mut new = self.status(name);
            new.observed_generation = object.metadata.generation;
            let old = object.status.clone().unwrap_or_default();
            if let (Some(word), Some(text)) = (&new.reason, &new.message) {
                let reason = Reason::ALL.iter().find(|reason| reason.as_str() == word);
                if let Some(reason) = reason {
                    let kind = "VirtualMachineMigration";
                    outcome.why(kind, name, *reason, text);
                    if old.phase != new.phase && over(new.phase) {
                        let why = Why {
                            reason: *reason,
                            message: text.clone(),
                        };
                        outcome.event(round.now, reference(name), &why);
                    }
                }
            }
            if let Some(end) = moment(new.finished_at.as_ref()) {
                let end = later(end, span(&object.spec.keep_for));
                if end <= round.now {
                    outcome.decisions.delete.push(ObjectKey {
                        kind: "VirtualMachineMigration",
                        name: name.to_owned(),
                    });
                    continue;
                }
                outcome.wake(end);
            }
            outcome.status("VirtualMachineMigration", name, &old, &new);
        }
    }
}

pub(super) fn cancelled() -> Why {
    Why {
        reason: Reason::MigrationCancelled,
        message: "it was given up; the guest runs where it was".to_owned(),
    }
}

fn over(phase: Option<MigrationPhase>) -> bool {
    matches!(
        phase,
        Some(MigrationPhase::Succeeded | MigrationPhase::Failed | MigrationPhase::Cancelled)
    )
}

fn under_way(phase: Option<MigrationPhase>) -> bool {
    matches!(
        phase,
        Some(MigrationPhase::Preparing | MigrationPhase::Running | MigrationPhase::Switching)
    )
}

fn reference(name: &str) -> ObjectReference {
    ObjectReference {
        kind: "VirtualMachineMigration".to_owned(),
        name: Name::from(name),
        uid: None,
    }
}
