//! When a guest that has its host may start: after those that it needs, and not all at once.

use crate::amounts::{later, moment, span};
use crate::outcome::Outcome;
use crate::rights::{Answer, answer, held};
use crate::round::Round;
use crate::state::Subject;
use crate::{Reason, Why};
use quorate_crds::{GuestState, VirtualMachine};
use std::collections::{BTreeMap, BTreeSet};

/// Starts that were decided in this round, by host.
#[derive(Default)]
pub(crate) struct Starts<'a>(BTreeMap<&'a str, u32>);

impl<'a> Starts<'a> {
    pub(crate) fn begin(&mut self, host: &'a str) {
        *self.0.entry(host).or_default() += 1;
    }

    /// Why the guest may not start on that host now, if so.
    pub(crate) fn obstacle(
        &self,
        round: &Round<'_>,
        outcome: &mut Outcome,
        (name, guest): (&str, &VirtualMachine),
        host: &str,
    ) -> Option<Why> {
        if waits_for_itself(round, name) {
            let message = format!("{name} is started after itself, by way of start.after");
            return Some(Why {
                reason: Reason::StartCycle,
                message,
            });
        }
        for after in &guest.spec.start.after {
            let other = round.state.guests.get(after.guest.as_str());
            let status = other.and_then(|other| other.status.as_ref());
            let state = status.and_then(|status| status.state);
            let ready = match after.until {
                quorate_crds::StartedWhen::Running => state == Some(GuestState::Running),
                quorate_crds::StartedWhen::Ready => status
                    .and_then(|status| status.agent.as_ref())
                    .is_some_and(|agent| agent.connected == Some(true)),
            };
            let coming = other.is_some_and(|other| {
                other.spec.desired_state != quorate_crds::DesiredState::Stopped
                    && state != Some(GuestState::Failed)
            });
            if !ready && (coming || after.required) {
                let message = format!("it is started after {}", after.guest);
                return Some(Why {
                    reason: Reason::WaitingForGuest,
                    message,
                });
            }
            let since = moment(status.and_then(|status| status.since.as_ref()));
            let due = since.map(|since| later(since, span(&after.delay)));
            if let Some(due) = due.filter(|due| ready && *due > round.now) {
                outcome.wake(due);
                let message = format!("{} after {}", after.delay, after.guest);
                return Some(Why {
                    reason: Reason::WaitingForGuest,
                    message,
                });
            }
        }
        self.limit(round, outcome, host)
    }

    fn limit(&self, round: &Round<'_>, outcome: &mut Outcome, host: &str) -> Option<Why> {
        let limits = &round.settings.recovery;
        let fresh = self.0.get(host).copied().unwrap_or(0);
        let mut starting = fresh;
        let mut last = (fresh > 0).then_some(round.now);
        for (name, guest) in &round.state.guests {
            let Some(record) = round.state.record(&Subject::guest(name), host) else {
                continue;
            };
            let active = record
                .spec
                .assignment
                .as_ref()
                .is_some_and(|held| held.active);
            if !active || !held(&round.hosts, record) {
                continue;
            }
            let at_work = matches!(answer(record), Answer::Nothing | Answer::Working);
            starting += u32::from(at_work);
            let placement = guest
                .status
                .as_ref()
                .and_then(|status| status.placement.as_ref());
            last = last.max(moment(
                placement.and_then(|placement| placement.since.as_ref()),
            ));
        }
        if starting >= limits.max_starts_per_node {
            let message = format!(
                "{starting} guests are starting on {host}; maxStartsPerNode is {}",
                limits.max_starts_per_node
            );
            return Some(Why {
                reason: Reason::StartLimit,
                message,
            });
        }
        let due = last.map(|last| later(last, span(&limits.start_interval)))?;
        (due > round.now).then(|| {
            outcome.wake(due);
            let message = format!("starts on {host} are {} apart", limits.start_interval);
            Why {
                reason: Reason::StartLimit,
                message,
            }
        })
    }
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
