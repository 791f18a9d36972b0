//! When a guest that has its host may start: after those that it needs, and not all at once.

use crate::amounts::{later, moment, span};
use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, active, answer, held};
use crate::round::Round;
use crate::state::SubjectKind;
use crate::{Reason, Why};
use jiff::Timestamp;
use quorate_crds::{
    DesiredState, GuestState, StartAfter, StartedWhen, VirtualMachine, VirtualMachineStatus,
};
use std::collections::{BTreeMap, BTreeSet};

/// Starts under way on every host.
pub(crate) struct Starts<'a>(BTreeMap<&'a str, Starting>);

#[derive(Clone, Copy, Default)]
struct Starting {
    now: u32,
    last: Option<Timestamp>,
}

impl<'a> Starts<'a> {
    pub(crate) fn of(round: &Round<'a>) -> Self {
        let mut starts: BTreeMap<&str, Starting> = BTreeMap::new();
        for (subject, records) in round.state.records.of_kind(SubjectKind::Guest) {
            let guest = round.state.guests.get(&subject.name);
            let placement = guest
                .and_then(|guest| guest.status.as_ref())
                .and_then(|status| status.placement.as_ref());
            let since = moment(placement.and_then(|placement| placement.since.as_ref()));
            for (host, record) in records {
                if !active(record) || !held(&round.hosts, record) {
                    continue;
                }
                let at_work = matches!(answer(record), Answer::Nothing | Answer::Working);
                let starting = starts.entry(host).or_default();
                starting.now += u32::from(at_work);
                starting.last = starting.last.max(since);
            }
        }
        Self(starts)
    }

    pub(crate) fn begin(&mut self, host: &'a str, now: Timestamp) {
        let starting = self.0.entry(host).or_default();
        starting.now += 1;
        starting.last = Some(now);
    }

    /// Whether the guest may start on that host now, or why not.
    pub(crate) fn turn(
        &self,
        round: &Round<'_>,
        outcome: &mut Outcome,
        (name, guest): (&str, &VirtualMachine),
        host: &str,
        status: &mut VirtualMachineStatus,
    ) -> Result<(), Why> {
        if waits_for_itself(round, name) {
            let message = format!("{name} is started after itself, by way of start.after");
            return Err(Why {
                reason: Reason::StartCycle,
                message,
            });
        }
        for after in &guest.spec.start.after {
            self.after(round, outcome, after)?;
        }
        delay(round, outcome, guest, status)?;
        self.limit(round, outcome, host)
    }

    fn after(
        &self,
        round: &Round<'_>,
        outcome: &mut Outcome,
        after: &StartAfter,
    ) -> Result<(), Why> {
        let other = round.state.guests.get(after.guest.as_str());
        let status = other.and_then(|other| other.status.as_ref());
        let state = status.and_then(|status| status.state);
        let runs = matches!(state, Some(GuestState::Running | GuestState::Migrating));
        let ready = match after.until {
            StartedWhen::Running => runs,
            StartedWhen::Ready => status
                .and_then(|status| status.agent.as_ref())
                .is_some_and(|agent| agent.connected == Some(true)),
        };
        let coming = other.is_some_and(|other| {
            other.spec.desired_state != DesiredState::Stopped && state != Some(GuestState::Failed)
        });
        let waits = |message: String| {
            Err(Why {
                reason: Reason::WaitingForGuest,
                message,
            })
        };
        if !ready && (coming || after.required) {
            return waits(format!("it is started after {}", after.guest));
        }
        let since = moment(status.and_then(|status| status.since.as_ref()));
        let due = since.map(|since| later(since, span(&after.delay)));
        match due.filter(|due| ready && *due > round.now) {
            Some(due) => {
                outcome.wake(due);
                waits(format!("{} after {}", after.delay, after.guest))
            }
            None => Ok(()),
        }
    }

    fn limit(&self, round: &Round<'_>, outcome: &mut Outcome, host: &str) -> Result<(), Why> {
        let limits = &round.settings.recovery;
        let starting = self.0.get(host).copied().unwrap_or_default();
        let reason = Reason::StartLimit;
        if starting.now >= limits.max_starts_per_node {
            let message = format!(
                "{} guests are starting on {host}; maxStartsPerNode is {}",
                starting.now, limits.max_starts_per_node
            );
            return Err(Why { reason, message });
        }
        let due = starting
            .last
            .map(|last| later(last, span(&limits.start_interval)));
        match due.filter(|due| *due > round.now) {
            Some(due) => {
                outcome.wake(due);
                let message = format!("starts on {host} are {} apart", limits.start_interval);
                Err(Why { reason, message })
            }
            None => Ok(()),
        }
    }
}

/// `start.delay` counts from the moment at which everything else allowed the start.
fn delay(
    round: &Round<'_>,
    outcome: &mut Outcome,
    guest: &VirtualMachine,
    status: &mut VirtualMachineStatus,
) -> Result<(), Why> {
    let delay = span(&guest.spec.start.delay);
    if delay.is_zero() {
        return Ok(());
    }
    let why = Why {
        reason: Reason::StartDelayed,
        message: format!(
            "its turn came; it is started {} later",
            guest.spec.start.delay
        ),
    };
    condition(
        &mut status.conditions,
        "StartDelayed",
        true,
        &why,
        round.now,
    );
    let turn = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "StartDelayed")
        .and_then(|condition| moment(Some(&condition.last_transition_time)));
    let due = later(turn.unwrap_or(round.now), delay);
    if due <= round.now {
        return Ok(());
    }
    outcome.wake(due);
    Err(why)
}

fn waits_for_itself(round: &Round<'_>, name: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(guest) = open.pop() {
        let Some(guest) = round.state.guests.get(guest) else {
            continue;
        };
        for after in &guest.spec.start.after {
            if after.guest.as_str() == name {
                return true;
            }
            if seen.insert(after.guest.as_str()) {
                open.push(after.guest.as_str());
            }
        }
    }
    false
}
