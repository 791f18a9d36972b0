//! What a takeover by a person rests on: the person's word. It is kept where people look for it: in the audit log of the
//! machine, in the log of the new history, as evidence about each machine, and as an event.

use std::path::PathBuf;

use quorate_crds::{
    Confirmation, EventSpec, EventType, Evidence, EvidenceKind, FenceAction, FenceOperation,
    FenceOperationSpec, FenceOperationStatus, FencePhase, Name, ObjectReference, Time,
};
use quorate_identity::MemberConfig;
use quorate_store::{Transaction, View};
use serde_json::json;

use crate::{
    audit::{self, AuditError, What},
    cluster_info::ClusterInfo,
    error::ApiError,
    fencing::Room,
    resource::{Draft, find_kind},
    restore::{RestoreError, hand_over},
    sources::Sources,
};

/// Who vouches for what.
pub(super) struct Word {
    pub(super) person: String,
    /// The machines that are off.
    pub(super) machines: String,
    /// The history that ends, and the one that begins.
    pub(super) from: String,
    pub(super) to: String,
}

impl Word {
    pub(super) fn proof(&self) -> String {
        format!(
            "{} saw that {} is off and took over by hand",
            self.person, self.machines
        )
    }

    /// What the first entry of the new history holds beside: what ran on the machines may run elsewhere, since a person has
    /// confirmed by name that they are off.
    pub(super) fn told(
        &self,
        view: &View,
        room: &Room,
        machines: &[String],
    ) -> Result<Transaction, ApiError> {
        let sources = Sources::default();
        let now = Time::from(sources.clock.now());
        let mut draft = Draft::new(view, &sources);
        let kind = find_kind("FenceOperation")?;
        for machine in machines {
            let incarnation = room
                .node(machine)
                .and_then(|node| node.status.as_ref()?.incarnation);
            if let Some(incarnation) = incarnation {
                let operation = self.confirmation(machine, incarnation, &now);
                draft.create(kind, json!(operation))?;
            }
        }
        draft.tell(&EventSpec {
            regarding: ObjectReference {
                kind: "Cluster".to_owned(),
                name: Name::from(ClusterInfo::read(view).name.as_str()),
                uid: None,
            },
            related: None,
            reason: "TakenOver".to_owned(),
            note: format!(
                "{}; history {} goes on as {}",
                self.proof(),
                self.from,
                self.to
            )
            .chars()
            .take(1024)
            .collect(),
            type_: EventType::Warning,
            count: 1,
            first_timestamp: now.clone(),
            last_timestamp: now,
            reporting_controller: "quorated".to_owned(),
            reporting_node: None,
        })?;
        Ok(draft.finish().unwrap_or_default())
    }

    fn confirmation(&self, machine: &str, incarnation: u64, now: &Time) -> FenceOperation {
        let begins: String = self.to.chars().take(8).collect();
        let mut operation = FenceOperation::new(
            &format!("{machine}-{incarnation}-history-{begins}"),
            FenceOperationSpec {
                node: Name::from(machine),
                incarnation: Some(incarnation),
                action: FenceAction::Confirm,
                level: None,
                device: None,
                confirmation: Some(Confirmation {
                    by: self.person.clone(),
                    statement: format!("{machine} is off"),
                }),
                reason: "a person took over by hand".to_owned(),
                requested_by: Some("quorated".to_owned()),
            },
        );
        operation.status = Some(FenceOperationStatus {
            phase: Some(FencePhase::Succeeded),
            incarnation: Some(incarnation),
            started_at: Some(now.clone()),
            finished_at: Some(now.clone()),
            evidence: Some(Evidence {
                kind: EvidenceKind::Person,
                incarnation,
                at: now.clone(),
                term: None,
                level: None,
                watchdog_expired_at: None,
                confirmed_by: Some(self.person.clone()),
            }),
            ..FenceOperationStatus::default()
        });
        operation
    }
}

/// The audit log of the machine.
pub(super) struct Trail {
    dir: PathBuf,
    data_dir: PathBuf,
}

impl Trail {
    pub(super) fn of(config: &MemberConfig) -> Self {
        Self {
            dir: config.audit_dir.clone(),
            data_dir: config.data_dir.clone(),
        }
    }

    pub(super) fn note(
        &self,
        word: &Word,
        result: &'static str,
        message: &str,
    ) -> Result<(), AuditError> {
        let what = What {
            verb: "takeover",
            kind: "cluster/takeover".to_owned(),
            name: word.machines.clone(),
            subresource: String::new(),
        };
        audit::note(&self.dir, &word.person, what, result, message)
    }

    /// The log may have been made just now, by another user than the member's.
    pub(super) fn close(self) -> Result<(), RestoreError> {
        hand_over(&self.dir, &self.data_dir)
    }
}
