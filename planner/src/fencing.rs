//! Silent hosts: one fence operation for each incarnation, and `Fenced` once it is proven.

use crate::outcome::{Outcome, condition};
use crate::rights::{Host, Presence, proven};
use crate::round::Round;
use crate::volumes;
use crate::votes::Votes;
use crate::{Reason, Why};
use quorate_crds::{
    FenceAction, FenceOperation, FenceOperationSpec, FencePhase, Name, NodeMode, NodeState,
    NodeStatus, ObjectReference, Time,
};
use std::cmp::Reverse;

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    free_the_away(round, outcome);
    condemn(round, outcome);
    let mut lost: Vec<&Host<'_>> = round
        .hosts
        .values()
        .filter(|host| host.presence == Presence::Silent)
        .collect();
    let silent = lost.len();
    let many = silent >= 2 && silent * 2 > round.hosts.len();
    if many {
        // They come by name, and stay so among equals.
        lost.sort_by_cached_key(|host| Reverse(volumes::carried(round, host.name)));
    }
    let room = if many {
        round.settings.fencing.max_at_once as usize
    } else {
        usize::MAX
    };
    // One whose levels have all failed is tried again, with back-off, and holds up nobody else: its
    // devices may be dead for days, while those of the others work.
    let mut at_work = lost
        .iter()
        .filter_map(|host| operation(round, host.name, host.incarnation))
        .filter(|known| phase_of(known) != Some(FencePhase::Blocked))
        .count();
    let mut votes = Votes::of(round);
    for host in lost {
        let Some(old) = host.node.status.as_ref() else {
            continue;
        };
        let mut new = old.clone();
        let mut asked_anew = false;
        let known = operation(round, host.name, host.incarnation);
        let phase = known.and_then(phase_of);
        let (reason, message) = if confirmed_off(round, host.name, host.incarnation) {
            new.state = Some(NodeState::Fenced);
            (
                Reason::Fenced,
                format!("incarnation {} is confirmed off", host.incarnation),
            )
        } else if host.mode == NodeMode::Maintenance {
            (
                Reason::NotManaged,
                "it is silent, in maintenance, and left alone".to_owned(),
            )
        } else if host.node.spec.fencing.levels.is_empty() {
            (
                Reason::CannotFence,
                "it is silent and has no fence level".to_owned(),
            )
        } else if phase == Some(FencePhase::Blocked) {
            (
                Reason::FenceBlocked,
                "every fence level has failed and is tried again".to_owned(),
            )
        } else if known.is_some() {
            new.state = Some(NodeState::Fencing);
            requested(round, host)
        } else if at_work >= room {
            (
                Reason::FenceWaits,
                format!(
                    "{silent} of {} hosts are silent together; maxAtOnce allows {room} at a time",
                    round.hosts.len()
                ),
            )
        } else if votes.rest_on(host.name) {
            (
                Reason::VoteNeeded,
                format!(
                    "its heartbeats are silent and its member answers: {}, and to switch it off would stop the cluster",
                    votes.words()
                ),
            )
        } else {
            at_work += 1;
            votes.lose(host.name);
            new.state = Some(NodeState::Fencing);
            asked_anew = true;
            let reason = match contradicted(round, host) {
                true => "heard after it had been confirmed off",
                false => "silent on all rings",
            };
            outcome.decisions.fence.push(request(round, host, reason));
            requested(round, host)
        };
        let why = Why { reason, message };
        if new.state != old.state {
            new.since = Some(Time::from(round.now));
        }
        if new.state != old.state || asked_anew || said_before(old) != Some(why.reason.as_str()) {
            outcome.event(round.now, reference(host.name), &why);
        }
        outcome.why("Node", host.name, why.reason, &why.message);
        condition(&mut new.conditions, "Ready", false, &why, round.now);
        outcome.nodes.insert(host.name.to_owned(), new);
    }
}

/// A host that left, or that never came back, without having let go of everything: a person who has
/// seen that it is off ends its rights.
fn free_the_away(round: &Round<'_>, outcome: &mut Outcome) {
    for host in round.hosts.values() {
        let confirmed = host.presence == Presence::Away
            && host.incarnation > 0
            && confirmed_off(round, host.name, host.incarnation);
        if confirmed {
            let why = Why {
                reason: Reason::Fenced,
                message: format!("incarnation {} is confirmed off", host.incarnation),
            };
            set_state(round, outcome, host, NodeState::Fenced, &why);
        }
    }
}

/// Two hosts that both write a volume and have lost each other cannot both go on.
fn condemn(round: &Round<'_>, outcome: &mut Outcome) {
    for (victim, message) in volumes::victims(round) {
        let Some(host) = round.hosts.get(&victim) else {
            continue;
        };
        if operation(round, host.name, host.incarnation).is_none() {
            outcome.decisions.fence.push(request(round, host, &message));
        }
        let reason = Reason::FenceRequested;
        let why = Why { reason, message };
        set_state(round, outcome, host, NodeState::Fencing, &why);
    }
}

fn set_state(
    round: &Round<'_>,
    outcome: &mut Outcome,
    host: &Host<'_>,
    state: NodeState,
    why: &Why,
) {
    let mut status = host.node.status.clone().unwrap_or_default();
    status.state = Some(state);
    status.since = Some(Time::from(round.now));
    condition(&mut status.conditions, "Ready", false, why, round.now);
    outcome.why("Node", host.name, why.reason, &why.message);
    outcome.event(round.now, reference(host.name), why);
    outcome.nodes.insert(host.name.to_owned(), status);
}

fn operation<'a>(round: &'a Round<'_>, host: &str, incarnation: u64) -> Option<&'a FenceOperation> {
    round
        .state
        .operations
        .values()
        .find(|operation| {
            operation.spec.node.as_str() == host
                && operation.spec.incarnation == Some(incarnation)
                && matches!(
                    operation.spec.action,
                    FenceAction::PowerOff | FenceAction::PowerCycle
                )
                && operation.status.as_ref().and_then(|status| status.phase)
                    != Some(FencePhase::Voided)
        })
        .map(AsRef::as_ref)
}

fn phase_of(operation: &FenceOperation) -> Option<FencePhase> {
    operation.status.as_ref()?.phase
}

/// Whether any operation, a person's confirmation included, holds evidence about this incarnation.
fn confirmed_off(round: &Round<'_>, host: &str, incarnation: u64) -> bool {
    round.state.operations.values().any(|operation| {
        operation.spec.node.as_str() == host && proven(operation) == Some(incarnation)
    })
}

fn request(round: &Round<'_>, host: &Host<'_>, reason: &str) -> FenceOperation {
    let (host, incarnation) = (host.name, host.incarnation);
    let round_number = round
        .state
        .operations
        .values()
        .filter(|old| old.spec.node.as_str() == host && old.spec.incarnation == Some(incarnation))
        .count();
    let again = if round_number == 0 {
        String::new()
    } else {
        format!("-{round_number}")
    };
    FenceOperation::new(
        &format!("{host}-{incarnation}{again}"),
        FenceOperationSpec {
            node: Name::from(host),
            incarnation: Some(incarnation),
            action: if round.settings.fencing.power_on {
                FenceAction::PowerCycle
            } else {
                FenceAction::PowerOff
            },
            level: None,
            device: None,
            confirmation: None,
            reason: reason.to_owned(),
            requested_by: Some("quorate-planner".to_owned()),
        },
    )
}

fn requested(round: &Round<'_>, host: &Host<'_>) -> (Reason, String) {
    let text = match contradicted(round, host) {
        true => "it was heard after it had been confirmed off, and is made safe anew",
        false => "it is silent and is being made safe",
    };
    (Reason::FenceRequested, text.to_owned())
}

/// Whether evidence about this incarnation was contradicted.
fn contradicted(round: &Round<'_>, host: &Host<'_>) -> bool {
    round.state.operations.values().any(|operation| {
        let phase = operation.status.as_ref().and_then(|status| status.phase);
        operation.spec.node.as_str() == host.name
            && operation.spec.incarnation == Some(host.incarnation)
            && phase == Some(FencePhase::Voided)
    })
}

/// What was said about it last.
fn said_before(status: &NodeStatus) -> Option<&str> {
    let ready = status.conditions.iter().find(|one| one.type_ == "Ready")?;
    Some(&ready.reason)
}

fn reference(host: &str) -> ObjectReference {
    ObjectReference {
        kind: "Node".to_owned(),
        name: Name::from(host),
        uid: None,
    }
}
