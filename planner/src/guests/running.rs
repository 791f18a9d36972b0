//! A guest on a host that is heard: what the host says about it, and what follows.

use super::assignment::{Told, assignment};
use super::migration::presence;
use super::{
    Guest, Work, enter, epoch, failures_on, own_failures, placed_because, restart_wish, why,
    why_off,
};
use crate::amounts::{later, moment, span};
use crate::records::Ending;
use crate::rights::{Answer, answer, held};
use crate::state::{About, Record, Subject};
use crate::{Reason, Why};
use jiff::{SignedDuration, Timestamp};
use quorate_crds::{
    DesiredState, GuestFailure, GuestPresence, GuestState, Name, OnCrash, OnGuestPowerOff, Time,
    VirtualMachineStatus,
};

/// The first two restarts come at once; from then on each waits twice as long as the one before.
const FREE_RESTARTS: u32 = 2;
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// Of what a host says about a failure, so much is kept.
const LONGEST_MESSAGE: usize = 1000;
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(5);

impl<'a> Work<'_, 'a> {
    pub(super) fn running(
        &mut self,
        (name, guest): Guest<'a>,
        record: &'a Record,
        wanted: bool,
        status: &mut VirtualMachineStatus,
    ) -> Why {
        let subject = Subject::guest(name);
        let host = record.spec.node.as_str();
        let epoch = epoch(record);
        status.node = Some(Name::from(host));
        status.migration = None;
        if !wanted {
            if let Some(other) = self.still_leaned_on(name) {
                let told = assignment((name, guest), epoch, Told::Run);
                self.outcome.assign(self.round.state, &subject, host, told);
                return why(Reason::StopWaits, &format!("{other} is stopped before it"));
            }
            let (reason, text) = why_off(guest);
            return self.stop((name, guest), record, status, reason, text);
        }
        if presence(record) == Some(GuestPresence::Sent) {
            // It stands still here for ever, and nobody else has it: only a new epoch ends that.
            let text = "all of it was sent, and the host that it went to was lost";
            let again = why(Reason::Recovered, text);
            return self.give((name, guest), host, again, status);
        }
        if let Some(gone) = self.unserved((name, guest), host) {
            let Why { reason, message } = gone;
            return self.stop((name, guest), record, status, reason, &message);
        }
        match answer(record) {
            Answer::Ended(ending, message) if ending != Ending::MigrationFailed => {
                self.ended((name, guest), record, (ending, message), status)
            }
            answer => {
                let runs = answer == Answer::Converged;
                if runs && let Some(gone) = self.moved_off((name, guest), record, status) {
                    return gone;
                }
                let told = assignment((name, guest), epoch, Told::Run);
                self.outcome.assign(self.round.state, &subject, host, told);
                if runs {
                    let state = match guest.spec.desired_state {
                        DesiredState::Paused => GuestState::Paused,
                        _ => GuestState::Running,
                    };
                    enter(status, state, self.round.now);
                    return why(Reason::Running, &format!("it runs on {host}"));
                }
                if !matches!(
                    status.state,
                    Some(GuestState::Running | GuestState::Paused | GuestState::Migrating)
                ) {
                    enter(status, GuestState::Starting, self.round.now);
                }
                if let Some(message) = file_missing(record) {
                    return why(Reason::FileMissing, message);
                }
                let placed = status.placement.as_ref();
                let text = placed.and_then(|placed| placed.message.clone());
                why(placed_because(status), &text.unwrap_or_default())
            }
        }
    }

    /// What a guest that runs well is to be stopped or moved for.
    fn moved_off(
        &mut self,
        (name, guest): Guest<'a>,
        record: &'a Record,
        status: &mut VirtualMachineStatus,
    ) -> Option<Why> {
        let host = record.spec.node.as_str();
        let wish = restart_wish(guest);
        if wish.is_some() && wish != status.restarted_for.as_deref() {
            let text = "a restart was asked for";
            return Some(self.stop((name, guest), record, status, Reason::RestartWanted, text));
        }
        if let Some(migration) = self.traffic.of_guest(name) {
            self.prepare((name, guest), host, migration, status);
            return None;
        }
        let moved = self.sent_away((name, guest), host)?;
        self.stop((name, guest), record, status, moved.reason, &moved.message)
            .into()
    }

    fn stop(
        &mut self,
        (name, guest): Guest<'a>,
        record: &Record,
        status: &mut VirtualMachineStatus,
        reason: Reason,
        text: &str,
    ) -> Why {
        let host = record.spec.node.as_str();
        let told = assignment((name, guest), epoch(record), Told::Stop);
        self.outcome
            .assign(self.round.state, &Subject::guest(name), host, told);
        enter(status, GuestState::Stopping, self.round.now);
        why(reason, &format!("{text}; it is being shut down on {host}"))
    }

    /// A guest that was started after this one and is not down yet.
    fn still_leaned_on(&self, name: &str) -> Option<&'a str> {
        let others = self.leaning.get(name)?;
        let down = |other: &str| {
            let records = self.round.state.records_of(About::guest(other));
            records
                .into_iter()
                .flatten()
                .all(|(_, record)| !held(&self.round.hosts, record))
        };
        others.iter().copied().find(|other| !down(other))
    }

    /// It crashed, was switched off from inside, or could not be started.
    fn ended(
        &mut self,
        (name, guest): Guest<'a>,
        record: &Record,
        (ending, message): (Ending, String),
        status: &mut VirtualMachineStatus,
    ) -> Why {
        let subject = Subject::guest(name);
        let host = record.spec.node.as_str();
        let epoch = epoch(record);
        let now = self.round.now;
        let recovery = &guest.spec.recovery;
        let wish = restart_wish(guest);
        let wished = wish.is_some() && wish != status.restarted_for.as_deref();
        let stays = match ending {
            Ending::GuestPoweredOff => recovery.on_guest_power_off == OnGuestPowerOff::Stop,
            Ending::GuestCrashed => recovery.on_crash != OnCrash::Restart || !guest.spec.protected,
            Ending::NotStarted | Ending::NotPossible | Ending::MigrationFailed => false,
        };
        if stays && !wished {
            let told = assignment((name, guest), epoch, Told::Run);
            self.outcome.assign(self.round.state, &subject, host, told);
            if ending == Ending::GuestPoweredOff {
                enter(status, GuestState::Stopped, now);
                return why(Reason::PoweredOffInside, "it was switched off from inside");
            }
            enter(status, GuestState::Failed, now);
            return why(
                Reason::StaysDown,
                &format!("it crashed and is to stay so: {message}"),
            );
        }
        if stays {
            let text = "a restart was asked for";
            let again = why(Reason::Restarted, text);
            return self.give((name, guest), host, again, status);
        }
        let counted = status
            .failures
            .iter()
            .any(|failure| failure.epoch == Some(epoch));
        if !counted {
            status.failures.push(GuestFailure {
                at: Time::from(now),
                node: Some(Name::from(host)),
                reason: Some(ending.as_str().to_owned()),
                message: Some(message.chars().take(LONGEST_MESSAGE).collect()),
                epoch: Some(epoch),
            });
            status.restart_count = u32::try_from(own_failures(status).count()).ok();
            self.outcome
                .wake(later(now, span(&recovery.restart_window)));
        }
        if ending == Ending::NotPossible {
            let told = assignment((name, guest), epoch, Told::Stop);
            self.outcome.assign(self.round.state, &subject, host, told);
            enter(status, GuestState::Stopping, now);
            return why(
                Reason::WaitingForRelease,
                &format!("{host} cannot run it: {message}"),
            );
        }
        let times = failures_on(status, host);
        if times <= recovery.max_restarts {
            let text = format!(
                "failure {times} on {host} within {}; {} are restarted in place: {message}",
                recovery.restart_window, recovery.max_restarts
            );
            let due = restart_due(status, times);
            if due.is_some_and(|due| due > now) {
                self.outcome.wake(due.unwrap_or(now));
                let told = assignment((name, guest), epoch, Told::Run);
                self.outcome.assign(self.round.state, &subject, host, told);
                enter(status, GuestState::Failed, now);
                return why(Reason::RestartBackOff, &format!("{text}, after a pause"));
            }
            let again = why(Reason::RestartedInPlace, &text);
            return self.give((name, guest), host, again, status);
        }
        let told = assignment((name, guest), epoch, Told::Stop);
        self.outcome.assign(self.round.state, &subject, host, told);
        enter(status, GuestState::Failed, now);
        let text = format!("failure {times} on {host}: it is let go there: {message}");
        why(Reason::WaitingForRelease, &text)
    }
}

/// What its host waits for, where a file of the guest is not where it should be: people bring it.
fn file_missing(record: &Record) -> Option<&str> {
    let conditions = record.status.iter().flat_map(|said| &said.conditions);
    let mut missing = conditions.filter(|one| one.reason == Reason::FileMissing.as_str());
    missing.next().map(|one| one.message.as_str())
}

/// When the guest may be started again after so many failures, if it has to wait.
fn restart_due(status: &VirtualMachineStatus, times: u32) -> Option<Timestamp> {
    let doublings = times.checked_sub(FREE_RESTARTS + 1)?;
    let last = moment(own_failures(status).last().map(|failure| &failure.at))?;
    let wait = FIRST_WAIT.saturating_mul(2_i32.saturating_pow(doublings));
    Some(later(last, wait.min(LONGEST_WAIT)))
}
