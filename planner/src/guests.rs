//! What becomes of every guest, the most important first.

use crate::amounts::{later, moment, span};
use crate::order::Starts;
use crate::outcome::{Outcome, condition};
use crate::placement::{Ledger, choose};
use crate::records::Ending;
use crate::rights::{Answer, Presence, answer, dead, held, seen_on};
use crate::round::Round;
use crate::state::Subject;
use crate::volumes;
use crate::{Reason, Why};
use jiff::Timestamp;
use quorate_crds::{
    Assignment, DesiredState, GuestAssignment, GuestFailure, GuestState, GuestStep, Name, NodeMode,
    NodePlan, OnCrash, OnGuestPowerOff, PlacementStatus, Time, VirtualMachine,
    VirtualMachineStatus,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;

type Guest<'a> = (&'a str, &'a VirtualMachine);

pub(crate) fn plan<'a>(round: &Round<'a>, outcome: &mut Outcome) {
    let mut ledger = Ledger::default();
    let mut order: Vec<Guest<'a>> = round
        .state
        .guests
        .iter()
        .map(|(name, guest)| (name.as_str(), guest.as_ref()))
        .collect();
    order.sort_by_key(|(name, guest)| (Reverse(guest.spec.priority), *name));
    for (name, guest) in &order {
        for host in holders(round, (name, guest)) {
            ledger.promise(host, name, guest);
        }
    }
    let mut starts = Starts::default();
    for guest in order {
        decide(round, outcome, &mut ledger, &mut starts, guest);
    }
}

/// The hosts on which the guest may be active.
fn holders<'a>(round: &Round<'a>, (name, guest): Guest<'a>) -> Vec<&'a str> {
    match round.state.records_of(&Subject::guest(name)) {
        Some(records) => records
            .iter()
            .filter(|(_, record)| held(&round.hosts, record))
            .map(|(host, _)| host.as_str())
            .collect(),
        None => seen_on(&round.hosts, guest).into_iter().collect(),
    }
}

fn decide<'a>(
    round: &Round<'a>,
    outcome: &mut Outcome,
    ledger: &mut Ledger<'a>,
    starts: &mut Starts<'a>,
    (name, guest): Guest<'a>,
) {
    let subject = Subject::guest(name);
    let mut status = guest.status.clone().unwrap_or_default();
    forget_old_failures(round, outcome, guest, &mut status);
    let wanted = guest.spec.desired_state != DesiredState::Stopped
        && guest.metadata.deletion_timestamp.is_none();
    let holders = holders(round, (name, guest));
    let left_alone = !guest.spec.managed
        || holders.iter().any(|host| {
            round
                .hosts
                .get(host)
                .is_some_and(|host| host.mode == NodeMode::Maintenance)
        });
    let why = if left_alone {
        keep(round, outcome, &subject);
        why(Reason::NotManaged, "it, or its host, is left alone")
    } else if let Some(host) = holders.first() {
        let record = round.state.record(&subject, host);
        let presence = round.hosts.get(host).map(|host| host.presence);
        match (presence, record) {
            (Some(Presence::Online), Some(record)) if holders.len() == 1 => {
                running(round, outcome, (name, guest), record, wanted, &mut status)
            }
            (Some(Presence::Online), None) => {
                let text = "it was found running there and is taken over";
                give(
                    round,
                    outcome,
                    (name, guest),
                    host,
                    why(Reason::Placed, text),
                    &mut status,
                )
            }
            (Some(Presence::Silent), _) => {
                keep(round, outcome, &subject);
                enter(&mut status, GuestState::Unknown, round.now);
                why(
                    Reason::WaitingForFence,
                    &format!("{host} is silent and not confirmed off"),
                )
            }
            (Some(Presence::Online | Presence::Fenced), _) => {
                keep(round, outcome, &subject);
                why(
                    Reason::WaitingForRelease,
                    &format!("{} may hold it", holders.join(" and ")),
                )
            }
            (Some(Presence::Away) | None, _) => {
                keep(round, outcome, &subject);
                enter(&mut status, GuestState::Unknown, round.now);
                why(
                    Reason::HostAway,
                    &format!("{host} did not say that it let go"),
                )
            }
        }
    } else if wanted {
        place(round, outcome, ledger, starts, (name, guest), &mut status)
    } else {
        enter(&mut status, GuestState::Stopped, round.now);
        status.node = None;
        why(Reason::StopWanted, "it is to be off")
    };
    let old = guest.status.clone().unwrap_or_default();
    let scheduled = matches!(
        why.reason,
        Reason::Placed
            | Reason::Running
            | Reason::Recovered
            | Reason::Relocated
            | Reason::RestartedInPlace
    );
    outcome.why("VirtualMachine", name, why.reason, &why.message);
    if scheduled && let Some(placement) = &status.placement {
        let message = placement.message.clone().unwrap_or_default();
        let reason = Reason::ALL
            .iter()
            .find(|reason| Some(reason.as_str()) == placement.reason.as_deref());
        if let Some(reason) = reason.filter(|reason| **reason != why.reason) {
            outcome.why("VirtualMachine", name, *reason, &message);
        }
    }
    condition(
        &mut status.conditions,
        "Scheduled",
        scheduled,
        &why,
        round.now,
    );
    let moved = |status: &VirtualMachineStatus| (status.epoch, status.state);
    if moved(&status) != moved(&old) {
        outcome.event(round.now, subject.reference(), &why);
    }
    outcome.status("VirtualMachine", name, &old, &status);
}

/// What a host that is there says about the guest, and what follows.
fn running(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, guest): Guest<'_>,
    record: &NodePlan,
    wanted: bool,
    status: &mut VirtualMachineStatus,
) -> Why {
    let subject = Subject::guest(name);
    let host = record.spec.node.as_str();
    let active = record
        .spec
        .assignment
        .as_ref()
        .is_some_and(|held| held.active);
    let epoch = record.spec.assignment.as_ref().map_or(0, |held| held.epoch);
    if !active || !wanted {
        outcome.assign(&subject, host, assignment(name, guest, epoch, false));
        let ended = matches!(status.state, Some(GuestState::Failed));
        if !(ended && wanted) {
            enter(status, GuestState::Stopping, round.now);
        }
        return match wanted {
            true => why(
                Reason::WaitingForRelease,
                &format!("{host} is letting go of it"),
            ),
            false => why(
                Reason::StopWanted,
                &format!("it is being shut down on {host}"),
            ),
        };
    }
    let answer = answer(record);
    let Answer::Ended(ending, message) = answer else {
        outcome.assign(&subject, host, assignment(name, guest, epoch, true));
        status.node = Some(Name::from(host));
        let paused = guest.spec.desired_state == DesiredState::Paused;
        return if answer == Answer::Converged {
            enter(
                status,
                if paused {
                    GuestState::Paused
                } else {
                    GuestState::Running
                },
                round.now,
            );
            why(Reason::Running, &format!("it runs on {host}"))
        } else {
            if !matches!(status.state, Some(GuestState::Running | GuestState::Paused)) {
                enter(status, GuestState::Starting, round.now);
            }
            let reason = placed_because(status);
            let text = status
                .placement
                .as_ref()
                .and_then(|placement| placement.message.clone());
            why(reason, &text.unwrap_or_default())
        };
    };
    let recovery = &guest.spec.recovery;
    let stays = match ending {
        Ending::GuestPoweredOff => recovery.on_guest_power_off == OnGuestPowerOff::Stop,
        Ending::GuestCrashed => recovery.on_crash != OnCrash::Restart || !guest.spec.protected,
        Ending::NotStarted => false,
    };
    if stays {
        outcome.assign(&subject, host, assignment(name, guest, epoch, true));
        if ending == Ending::GuestPoweredOff {
            enter(status, GuestState::Stopped, round.now);
            return why(Reason::PoweredOffInside, "it was switched off from inside");
        }
        enter(status, GuestState::Failed, round.now);
        return why(
            Reason::StaysDown,
            &format!("it crashed and is to stay so: {message}"),
        );
    }
    status.failures.push(GuestFailure {
        at: Time::from(round.now),
        node: Some(Name::from(host)),
        reason: Some(ending.as_str().to_owned()),
    });
    status.restart_count = u32::try_from(status.failures.len()).ok();
    outcome.wake(later(round.now, span(&recovery.restart_window)));
    let times = failures_on(status, host);
    if times <= recovery.max_restarts {
        let text = format!(
            "failure {times} on {host} within {}; {} are restarted in place",
            recovery.restart_window, recovery.max_restarts
        );
        return give(
            round,
            outcome,
            (name, guest),
            host,
            why(Reason::RestartedInPlace, &text),
            status,
        );
    }
    outcome.assign(&subject, host, assignment(name, guest, epoch, false));
    enter(status, GuestState::Failed, round.now);
    let text = format!("failure {times} on {host}: it is let go there");
    why(Reason::WaitingForRelease, &text)
}

/// A host for a guest that nobody holds.
fn place<'a>(
    round: &Round<'a>,
    outcome: &mut Outcome,
    ledger: &mut Ledger<'a>,
    starts: &mut Starts<'a>,
    (name, guest): Guest<'a>,
    status: &mut VirtualMachineStatus,
) -> Why {
    let before = status
        .placement
        .as_ref()
        .and_then(|placement| placement.node.clone());
    let before = before.as_ref().map(Name::as_str);
    let lost = before.is_some_and(|before| {
        let record = round.state.record(&Subject::guest(name), before);
        record.is_some_and(|record| dead(&round.hosts, before, record.spec.incarnation))
            || (status.state == Some(GuestState::Unknown))
    });
    let recovering = lost
        || status.conditions.iter().any(|condition| {
            condition.type_ == "Scheduled" && condition.reason == Reason::NotProtected.as_str()
        });
    if status.state != Some(GuestState::Failed) {
        enter(
            status,
            if lost {
                GuestState::Unknown
            } else {
                GuestState::Pending
            },
            round.now,
        );
    }
    status.node = None;
    let recovery = &guest.spec.recovery;
    let mut refused: BTreeMap<&str, String> = BTreeMap::new();
    for host in round.hosts.keys() {
        let times = failures_on(status, host);
        if times > recovery.max_restarts {
            let text = format!(
                "it failed there {times} times within {}",
                recovery.restart_window
            );
            refused.insert(host, text);
        } else if !status.failures.is_empty() && !recovery.relocate && Some(*host) != before {
            refused.insert(host, "relocate is false".to_owned());
        }
    }
    if recovering
        && !guest.spec.protected
        && before
            .and_then(|before| round.hosts.get(before))
            .is_some_and(|host| !host.online())
    {
        return why(
            Reason::NotProtected,
            "its host was lost, and it is not protected",
        );
    }
    let failed = !status.failures.is_empty();
    let target = choose(
        round,
        ledger,
        (name, guest),
        !recovering && !failed,
        &refused,
    );
    let host = match target {
        Ok(host) => host,
        Err(obstacles) => {
            if refused.is_empty() {
                return why(Reason::NoHostFits, &obstacles.join("; "));
            }
            return why(Reason::RecoveryExhausted, &obstacles.join("; "));
        }
    };
    ledger.promise(host, name, guest);
    if let Some(obstacle) = starts.obstacle(round, outcome, (name, guest), host) {
        return obstacle;
    }
    starts.begin(host);
    let placed = match before {
        Some(before) if recovering => why(
            Reason::Recovered,
            &format!("{before} was lost and is confirmed off"),
        ),
        Some(before) if failed && before != host => why(
            Reason::Relocated,
            &format!("it failed too often on {before}"),
        ),
        _ => why(
            Reason::Placed,
            &format!("{host} is the best of the hosts that fit"),
        ),
    };
    give(round, outcome, (name, guest), host, placed, status)
}

/// Gives the right to run it, under a new epoch.
fn give(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, guest): Guest<'_>,
    host: &str,
    why: Why,
    status: &mut VirtualMachineStatus,
) -> Why {
    let epoch = status.epoch.unwrap_or(0) + 1;
    status.epoch = Some(epoch);
    status.node = Some(Name::from(host));
    status.placement = Some(PlacementStatus {
        node: Some(Name::from(host)),
        reason: Some(why.reason.to_string()),
        message: Some(why.message.clone()),
        since: Some(Time::from(round.now)),
    });
    enter(status, GuestState::Starting, round.now);
    outcome.assign(
        &Subject::guest(name),
        host,
        assignment(name, guest, epoch, true),
    );
    why
}

fn assignment(name: &str, guest: &VirtualMachine, epoch: u64, active: bool) -> Assignment {
    Assignment {
        object: Subject::guest(name).reference(),
        object_generation: guest.metadata.generation,
        epoch,
        active,
        after: volumes::of(name, guest)
            .map(|volume| Subject::volume(&volume).reference())
            .collect(),
        network: None,
        storage: None,
        replica: None,
        mount: None,
        guest: Some(GuestAssignment {
            desired_state: if active {
                guest.spec.desired_state
            } else {
                DesiredState::Stopped
            },
            step: GuestStep::Keep,
            migration: None,
        }),
        secrets: guest.spec.display.password.iter().cloned().collect(),
    }
}

/// What is written stays written.
fn keep(round: &Round<'_>, outcome: &mut Outcome, subject: &Subject) {
    for (host, record) in round.state.records_of(subject).into_iter().flatten() {
        if let Some(held) = &record.spec.assignment {
            outcome.assign(subject, host, held.clone());
        }
    }
}

fn forget_old_failures(
    round: &Round<'_>,
    outcome: &mut Outcome,
    guest: &VirtualMachine,
    status: &mut VirtualMachineStatus,
) {
    let window = span(&guest.spec.recovery.restart_window);
    let end =
        |failure: &GuestFailure| later(moment(Some(&failure.at)).unwrap_or(Timestamp::MIN), window);
    status.failures.retain(|failure| end(failure) > round.now);
    if let Some(first) = status.failures.iter().map(end).min() {
        outcome.wake(first);
    }
    if status.restart_count.is_some() {
        status.restart_count = u32::try_from(status.failures.len()).ok();
    }
}

fn failures_on(status: &VirtualMachineStatus, host: &str) -> u32 {
    let there = |failure: &&GuestFailure| {
        failure
            .node
            .as_ref()
            .is_some_and(|node| node.as_str() == host)
    };
    u32::try_from(status.failures.iter().filter(there).count()).unwrap_or(u32::MAX)
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
