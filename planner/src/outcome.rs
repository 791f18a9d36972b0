//! What one round has decided so far.

mod assignments;

use crate::state::{ClusterState, Index, Subject};
use crate::{Decisions, Reason, StatusPatch, Why};
use assignments::Assignments;
use jiff::Timestamp;
use quorate_crds::{
    Assignment, Condition, ConditionStatus, EventSpec, EventType, NodeStatus, ObjectReference, Time,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Outcome {
    assignments: Assignments,
    /// Volumes that two hosts need at once, for a guest on its way from the first to the second.
    pub(crate) moving: BTreeMap<String, (String, String)>,
    /// Hosts on which something needs the volume.
    pub(crate) users: Index<String, BTreeSet<String>>,
    /// Guests that should be elsewhere and cannot go, and why.
    pub(crate) stuck: BTreeMap<String, Why>,
    /// Hosts whose status is decided in part, to be written with the rest of it.
    pub(crate) nodes: BTreeMap<String, NodeStatus>,
    pub(crate) decisions: Decisions,
    /// Per `kind/name`; none when nobody asks.
    reasons: Option<Vec<(String, Why)>>,
}

impl Outcome {
    /// The outcome of a round of which somebody wants to hear the reasons.
    pub(crate) fn explained() -> Self {
        Self {
            reasons: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Whether somebody wants to hear the reasons.
    pub(crate) fn is_explained(&self) -> bool {
        self.reasons.is_some()
    }

    /// What the host is to be told; of two about the same record the later one counts.
    pub(crate) fn assign(
        &mut self,
        state: &ClusterState,
        subject: &Subject,
        host: &str,
        assignment: Assignment,
    ) {
        let record = state.record(subject, host);
        match record.filter(|record| record.spec.assignment.as_ref() == Some(&assignment)) {
            Some(record) => self.assignments.keep(subject, host, record),
            None => self.assignments.write(subject, host, assignment),
        }
    }

    /// What is written stays written.
    pub(crate) fn keep(&mut self, state: &ClusterState, subject: &Subject, host: &str) {
        if let Some(record) = state.record(subject, host) {
            self.assignments.keep(subject, host, record);
        }
    }

    /// What is written stays written, and for the boot that it was written for: a later one is told nothing.
    pub(crate) fn leave(&mut self, state: &ClusterState, subject: &Subject, host: &str) {
        if let Some(record) = state.record(subject, host) {
            self.assignments.leave(subject, host, record);
        }
    }

    /// What is wanted so far.
    pub(crate) fn assignments(&self) -> &Assignments {
        &self.assignments
    }

    /// What is wanted, now that all is decided.
    pub(crate) fn take_assignments(&mut self) -> Assignments {
        std::mem::take(&mut self.assignments)
    }

    pub(crate) fn why(&mut self, kind: &str, name: &str, reason: Reason, message: &str) {
        if let Some(reasons) = &mut self.reasons {
            let message = message.to_owned();
            let why = Why { reason, message };
            reasons.push(([kind, "/", name].concat(), why));
        }
    }

    /// All of it.
    pub(crate) fn decided(mut self) -> Decisions {
        let mut told = self.reasons.unwrap_or_default();
        // Stable, so that the nearest reason stays the first.
        told.sort_by(|a, b| a.0.cmp(&b.0));
        let mut reasons: Vec<(String, Vec<Why>)> = Vec::new();
        for (about, why) in told {
            match reasons.last_mut().filter(|(known, _)| *known == about) {
                Some((_, more)) => more.push(why),
                None => reasons.push((about, vec![why])),
            }
        }
        self.decisions.reasons = reasons.into_iter().collect();
        self.decisions
    }

    pub(crate) fn wake(&mut self, at: Timestamp) {
        let first = self.decisions.wake_at.map_or(at, |known| known.min(at));
        self.decisions.wake_at = Some(first);
    }

    pub(crate) fn event(&mut self, now: Timestamp, regarding: ObjectReference, why: &Why) {
        let time = Time::from(now);
        self.decisions.events.push(EventSpec {
            regarding,
            related: None,
            reason: why.reason.to_string(),
            note: why.message.clone(),
            type_: EventType::Normal,
            count: 1,
            first_timestamp: time.clone(),
            last_timestamp: time,
            reporting_controller: "quorate-planner".to_owned(),
            reporting_node: None,
        });
    }

    /// Something on that host needs the volume.
    pub(crate) fn uses(&mut self, volume: &str, host: &str) {
        match self.users.get_mut(volume) {
            Some(hosts) if hosts.contains(host) => {}
            Some(hosts) => _ = hosts.insert(host.to_owned()),
            None => {
                _ = self
                    .users
                    .insert(volume.to_owned(), [host.to_owned()].into())
            }
        }
    }

    /// Writes the fields in which the new status differs, if any does.
    pub(crate) fn status<S: Serialize + PartialEq>(
        &mut self,
        kind: &'static str,
        name: &str,
        old: &S,
        new: &S,
    ) {
        if old == new {
            return;
        }
        let (Value::Object(old), Value::Object(mut patch)) = (json!(old), json!(new)) else {
            return;
        };
        for (field, value) in old {
            match patch.get(&field) {
                Some(new) if *new == value => _ = patch.remove(&field),
                Some(_) => {}
                None => _ = patch.insert(field, Value::Null),
            }
        }
        if !patch.is_empty() {
            let status = Value::Object(patch);
            self.decisions.statuses.push(StatusPatch {
                kind,
                name: name.to_owned(),
                status,
            });
        }
    }
}

/// Says `why` in the condition `type_`; its time moves only when its status does.
pub(crate) fn condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    so: bool,
    why: &Why,
    now: Timestamp,
) {
    let status = if so {
        ConditionStatus::True
    } else {
        ConditionStatus::False
    };
    let known = conditions.iter_mut().find(|known| known.type_ == type_);
    let Some(known) = known else {
        return conditions.push(Condition {
            type_: type_.to_owned(),
            status,
            reason: why.reason.to_string(),
            message: why.message.clone(),
            last_transition_time: Time::from(now),
            observed_generation: None,
        });
    };
    if known.status != status {
        known.status = status;
        known.last_transition_time = Time::from(now);
    }
    if known.reason != why.reason.as_str() {
        known.reason = why.reason.to_string();
    }
    known.message.clone_from(&why.message);
    known.observed_generation = None;
}
