//! Silent hosts: one fence operation for each incarnation, and `Fenced` once it is proven.

use crate::outcome::{Outcome, condition};
use crate::rights::Presence;
use crate::round::Round;
use crate::{Reason, Why};
use quorate_crds::{
    FenceAction, FenceOperation, FenceOperationSpec, FencePhase, Name, NodeMode, NodeState,
    ObjectReference, Time,
};

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let silent = round
        .hosts
        .values()
        .filter(|host| host.presence == Presence::Silent)
        .count();
    let many = silent >= 2 && silent * 2 > round.hosts.len();
    let room = if many {
        round.settings.fencing.max_at_once as usize
    } else {
        usize::MAX
    };
    let mut at_work = round
        .hosts
        .values()
        .filter(|host| host.presence == Presence::Silent)
        .filter(|host| operation(round, host.name, host.incarnation).is_some())
        .count();
    for host in round
        .hosts
        .values()
        .filter(|host| host.presence == Presence::Silent)
    {
        let Some(old) = host.node.status.as_ref() else {
            continue;
        };
        let mut new = old.clone();
        let known = operation(round, host.name, host.incarnation);
        let phase = known
            .and_then(|known| known.status.as_ref())
            .and_then(|status| status.phase);
        let (reason, message) = if proven(round, host.name, host.incarnation) {
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
            (
                Reason::FenceRequested,
                "it is silent and is being made safe".to_owned(),
            )
        } else if at_work >= room {
            (
                Reason::FenceWaits,
                format!(
                    "{silent} of {} hosts are silent together; maxAtOnce allows {room} at a time",
                    round.hosts.len()
                ),
            )
        } else {
            at_work += 1;
            new.state = Some(NodeState::Fencing);
            outcome
                .decisions
                .fence
                .push(request(round, host.name, host.incarnation));
            (
                Reason::FenceRequested,
                "it is silent and is being made safe".to_owned(),
            )
        };
        let why = Why { reason, message };
        if new.state != old.state {
            new.since = Some(Time::from(round.now));
            outcome.event(round.now, reference(host.name), &why);
        }
        outcome.why("Node", host.name, why.reason, &why.message);
        condition(&mut new.conditions, "Ready", false, &why, round.now);
        outcome.status("Node", host.name, old, &new);
    }
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

/// Whether any operation, a person's confirmation included, holds evidence about this incarnation.
fn proven(round: &Round<'_>, host: &str, incarnation: u64) -> bool {
    round.state.operations.values().any(|operation| {
        let status = operation.status.as_ref();
        operation.spec.node.as_str() == host
            && matches!(
                operation.spec.action,
                FenceAction::PowerOff | FenceAction::PowerCycle | FenceAction::Confirm
            )
            && status.is_some_and(|status| {
                status.phase == Some(FencePhase::Succeeded)
                    && status.voided_at.is_none()
                    && status
                        .evidence
                        .as_ref()
                        .is_some_and(|it| it.incarnation == incarnation)
            })
    })
}

fn request(round: &Round<'_>, host: &str, incarnation: u64) -> FenceOperation {
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
            reason: "silent on all rings".to_owned(),
            requested_by: Some("quorate-planner".to_owned()),
        },
    )
}

fn reference(host: &str) -> ObjectReference {
    ObjectReference {
        kind: "Node".to_owned(),
        name: Name::from(host),
        uid: None,
    }
}
