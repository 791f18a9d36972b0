//! What one round has decided so far.

use crate::state::Subject;
use crate::{Decisions, Reason, StatusPatch, Why};
use jiff::Timestamp;
use quorate_crds::{
    Assignment, Condition, ConditionStatus, EventSpec, EventType, NodeStatus, ObjectReference, Time,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) assignments: BTreeMap<Subject, BTreeMap<String, Assignment>>,
    /// Volumes that two hosts need at once, for a guest on its way from the first to the second.
    pub(crate) moving: BTreeMap<String, (String, String)>,
    /// Hosts on which something needs the volume.
    pub(crate) users: BTreeMap<String, BTreeSet<String>>,
    /// Hosts whose status is decided in part, to be written with the rest of it.
    pub(crate) nodes: BTreeMap<String, NodeStatus>,
    pub(crate) decisions: Decisions,
}

impl Outcome {
    pub(crate) fn assign(&mut self, subject: &Subject, host: &str, assignment: Assignment) {
        self.assignments
            .entry(subject.clone())
            .or_default()
            .insert(host.to_owned(), assignment);
    }

    pub(crate) fn why(&mut self, kind: &str, name: &str, reason: Reason, message: &str) {
        self.decisions
            .reasons
            .entry(format!("{kind}/{name}"))
            .or_default()
            .push(Why {
                reason,
                message: message.to_owned(),
            });
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
        self.users
            .entry(volume.to_owned())
            .or_default()
            .insert(host.to_owned());
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
        let (old, new) = (json!(old), json!(new));
        let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
            return;
        };
        let mut patch: Map<String, Value> = new
            .iter()
            .filter(|(field, value)| old.get(*field) != Some(value))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        for field in old.keys().filter(|field| !new.contains_key(*field)) {
            patch.insert(field.clone(), Value::Null);
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
    let old = conditions.iter().find(|condition| condition.type_ == type_);
    let since = match old {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        _ => Time::from(now),
    };
    let new = Condition {
        type_: type_.to_owned(),
        status,
        reason: why.reason.to_string(),
        message: why.message.clone(),
        last_transition_time: since,
        observed_generation: None,
    };
    match conditions
        .iter_mut()
        .find(|condition| condition.type_ == type_)
    {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}
