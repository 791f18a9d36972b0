//! What proves a host off, and what is refused as a proof.

use quorate_crds::{
    Condition, ConditionStatus, Evidence, EvidenceKind, FenceAction, FenceOperation, FencePhase,
    NodeState, Time,
};
use quorate_planner::Reason;

use super::{Stage, Work};
use crate::fencing::{
    coordinator::say,
    room::{Now, Room},
};

impl Work {
    /// The incarnation that is meant, once a stored object says so: a leader that takes over must mean the same one.
    pub(super) fn settle_incarnation(
        &mut self,
        operation: &FenceOperation,
        room: &Room,
        now: Now,
    ) -> Option<u64> {
        if room.node(operation.spec.node.as_str()).is_none() {
            let reason = format!(
                "there is no Node {:?} (any more)",
                operation.spec.node.as_str()
            );
            self.void(&reason, now);
            return None;
        }
        let stored = operation
            .status
            .as_ref()
            .and_then(|status| status.incarnation);
        if let Some(settled) = operation.spec.incarnation.or(stored) {
            self.status.incarnation = Some(settled);
            return Some(settled);
        }
        self.status.incarnation = Some(incarnation_of(room, operation).unwrap_or_default());
        None
    }

    pub(super) fn confirm_level(
        &mut self,
        operation: &FenceOperation,
        term: u64,
        watchdog_expired: bool,
        by_devices: bool,
        now: Now,
    ) {
        let Some(incarnation) = self.status.incarnation else {
            return;
        };
        let level = self.status.level.clone();
        let shown = level.clone().unwrap_or_default();
        let (kind, message) = if by_devices {
            (
                EvidenceKind::Devices,
                format!("every device of level {shown} says off"),
            )
        } else {
            (
                EvidenceKind::Watchdog,
                format!("level {shown}: its watchdog has surely fired since its last lease"),
            )
        };
        let evidence = Evidence {
            kind,
            incarnation,
            at: Time::from(now.wall),
            term: Some(term),
            level,
            watchdog_expired_at: watchdog_expired.then(|| Time::from(now.wall)),
            confirmed_by: None,
        };
        self.confirm(operation, evidence, &message, now);
    }

    pub(super) fn confirm(
        &mut self,
        operation: &FenceOperation,
        evidence: Evidence,
        message: &str,
        now: Now,
    ) {
        let reason = reason_of(evidence.kind);
        self.status.incarnation = Some(evidence.incarnation);
        self.status.evidence = Some(evidence);
        self.end(FencePhase::Succeeded, reason, message, now);
        self.tell(reason, format!("it is confirmed off: {message}"), false);
        self.no_longer_blocked(reason, message, now);
        self.stage = if operation.spec.action == FenceAction::PowerCycle {
            Stage::Confirmed
        } else {
            Stage::Ended
        };
    }

    pub(super) fn no_longer_blocked(&mut self, reason: Reason, message: &str, now: Now) {
        let conditions = &mut self.status.conditions;
        if conditions
            .iter()
            .any(|condition| condition.type_ == "Blocked")
        {
            say(
                conditions,
                "Blocked",
                ConditionStatus::False,
                reason,
                message,
                now.wall,
            );
        }
    }

    /// Whoever proves it elsewhere stores the proof, and leaves the words to us.
    pub(super) fn say_how_it_was_proven(&mut self, now: Now) {
        let Some(evidence) = &self.status.evidence else {
            return;
        };
        let (reason, message) = (
            reason_of(evidence.kind),
            "it was proven elsewhere meanwhile",
        );
        let is_said = |condition: &Condition| {
            condition.type_ == "Complete" && condition.status == ConditionStatus::True
        };
        if self.status.phase == Some(FencePhase::Succeeded)
            && !self.status.conditions.iter().any(is_said)
        {
            self.complete(ConditionStatus::True, reason, message, now);
            self.no_longer_blocked(reason, message, now);
        }
    }

    pub(super) fn believe(&mut self, operation: &FenceOperation, room: &Room, now: Now) {
        if !matches!(self.stage, Stage::Waiting(_)) {
            return;
        }
        let host = operation.spec.node.as_str();
        let Some(node) = room.node(host) else {
            let message = format!("there is no Node {host:?}; look at `quorate get nodes`");
            self.end(
                FencePhase::Failed,
                Reason::ConfirmationRefused,
                &message,
                now,
            );
            self.stage = Stage::Ended;
            return;
        };
        let status = node.status.as_ref();
        let present = status
            .and_then(|status| status.incarnation)
            .unwrap_or_default();
        let meant = operation.spec.incarnation.unwrap_or(present);
        let heard = matches!(
            status.and_then(|status| status.state),
            Some(NodeState::Online | NodeState::Joining)
        );
        let refusal = if meant > present {
            Some(format!(
                "incarnation {meant} does not exist, the present one is {present}"
            ))
        } else if meant == present && heard {
            Some(
                "the host is heard at this moment, so it cannot be off; confirm only a silent \
                 host, or switch this one off by `quorate node fence`"
                    .to_owned(),
            )
        } else {
            None
        };
        if let Some(message) = refusal {
            self.end(
                FencePhase::Failed,
                Reason::ConfirmationRefused,
                &message,
                now,
            );
            self.stage = Stage::Ended;
            return;
        }
        let Some(confirmation) = &operation.spec.confirmation else {
            let message = "it says neither who looked nor what was seen (spec.confirmation)";
            self.end(
                FencePhase::Failed,
                Reason::ConfirmationRefused,
                message,
                now,
            );
            self.stage = Stage::Ended;
            return;
        };
        let evidence = Evidence {
            kind: EvidenceKind::Person,
            incarnation: meant,
            at: Time::from(now.wall),
            term: None,
            level: None,
            watchdog_expired_at: None,
            confirmed_by: Some(confirmation.by.clone()),
        };
        let message = format!("{} has seen: {}", confirmation.by, confirmation.statement);
        self.confirm(operation, evidence, &message, now);
    }
}

pub(super) fn incarnation_of(room: &Room, operation: &FenceOperation) -> Option<u64> {
    room.node(operation.spec.node.as_str())?
        .status
        .as_ref()?
        .incarnation
}

fn reason_of(evidence: EvidenceKind) -> Reason {
    match evidence {
        EvidenceKind::Devices => Reason::ConfirmedOff,
        EvidenceKind::Watchdog => Reason::WatchdogFired,
        EvidenceKind::Person => Reason::ConfirmedByPerson,
        EvidenceKind::NewBoot => Reason::NewBoot,
    }
}

/// What proves the incarnation dead without any device: a later boot of the host, or another operation.
pub(super) fn proof_elsewhere(
    room: &Room,
    name: &str,
    operation: &FenceOperation,
    incarnation: u64,
    now: Now,
) -> Option<(Evidence, String)> {
    if let Some(present) = incarnation_of(room, operation).filter(|present| *present > incarnation)
    {
        let evidence = Evidence {
            kind: EvidenceKind::NewBoot,
            incarnation,
            at: Time::from(now.wall),
            term: None,
            level: None,
            watchdog_expired_at: None,
            confirmed_by: None,
        };
        let message = format!("the host has booted again and registered incarnation {present}");
        return Some((evidence, message));
    }
    room.operations
        .iter()
        .filter(|(other, held)| *other != name && held.object.spec.node == operation.spec.node)
        .filter_map(|(other, held)| Some((other, held.object.status.as_ref()?)))
        .filter(|(_, status)| {
            status.phase == Some(FencePhase::Succeeded) && status.voided_at.is_none()
        })
        .find_map(|(other, status)| {
            let evidence = status.evidence.clone()?;
            let message = format!("FenceOperation {other} has the evidence");
            (evidence.incarnation == incarnation).then_some((evidence, message))
        })
}
