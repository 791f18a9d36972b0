//! What a takeover proves of the hosts of the other half, in the terms of fencing: whoever was switched off for the sake of
//! the votes is not switched off again for the sake of its guests.
//!
//! The evidence is about the incarnation that was known *before* the devices were asked. A later one, that booted and
//! registered meanwhile, is not proven off by it.

use quorate_crds::{
    Condition, ConditionStatus, Evidence, EvidenceKind, FenceAction, FenceOperation,
    FenceOperationSpec, FenceOperationStatus, FencePhase, Name, Time,
};
use quorate_planner::Reason;
use quorate_store::{Transaction, View, takeover::Round};
use serde_json::json;

use super::shell::withdrawn;
use crate::{
    error::ApiError,
    fencing::{Proof, Room},
    resource::{Draft, find_kind},
    sources::Sources,
};

/// The hosts as they were before the first device was asked.
pub(super) struct Before {
    pub(super) room: Room,
    view: View,
    term: u64,
    round: Round,
}

impl Before {
    pub(super) fn new(view: View, term: u64, round: Round) -> Self {
        Self {
            room: Room::of(&view),
            view,
            term,
            round,
        }
    }

    /// What is written beside the evidence of the round: a fence operation that has succeeded. Power returns after it
    /// as after any other.
    pub(super) fn proven_off(
        &self,
        host: &str,
        proof: &Proof,
        sources: &Sources,
    ) -> Result<Transaction, ApiError> {
        let mut draft = Draft::new(&self.view, sources);
        let now = Time::from(sources.clock.now());
        draft.create(
            find_kind("FenceOperation")?,
            json!(self.operation(host, proof, now)),
        )?;
        Ok(draft.finish().unwrap_or_default())
    }

    fn operation(&self, host: &str, proof: &Proof, now: Time) -> FenceOperation {
        // A machine whose host never registered has run nothing, and wants its power back all the same.
        let incarnation = self
            .room
            .node(host)
            .and_then(|node| node.status.as_ref()?.incarnation)
            .unwrap_or_default();
        let stays_off = withdrawn(&self.room, host);
        let Round { by, start, number } = self.round;
        let mut operation = FenceOperation::new(
            &format!("{host}-{incarnation}-takeover-{by}-{start}-{number}"),
            FenceOperationSpec {
                node: Name::from(host),
                incarnation: Some(incarnation),
                action: if self.room.cluster.fencing.power_on && !stays_off {
                    FenceAction::PowerCycle
                } else {
                    FenceAction::PowerOff
                },
                level: None,
                device: None,
                confirmation: None,
                reason: format!(
                    "its half of the voters was silent, and the other half takes over{}",
                    if stays_off {
                        "; it was withdrawn, and is left off"
                    } else {
                        ""
                    }
                ),
                requested_by: Some("quorated".to_owned()),
            },
        );
        operation.status = Some(FenceOperationStatus {
            conditions: vec![Condition {
                type_: "Complete".to_owned(),
                status: ConditionStatus::True,
                reason: Reason::ConfirmedOff.to_string(),
                message: proof.text.chars().take(1024).collect(),
                last_transition_time: now.clone(),
                observed_generation: None,
            }],
            phase: Some(FencePhase::Succeeded),
            incarnation: Some(incarnation),
            started_at: Some(now.clone()),
            finished_at: Some(now.clone()),
            level: Some(proof.level.clone()),
            results: proof.results.clone(),
            evidence: Some(Evidence {
                kind: EvidenceKind::Devices,
                incarnation,
                at: now,
                term: Some(self.term),
                level: Some(proof.level.clone()),
                watchdog_expired_at: None,
                confirmed_by: None,
            }),
            ..FenceOperationStatus::default()
        });
        operation
    }
}
