//! What was decided: everything that is to be written, in one transaction.

use crate::Reason;
use crate::state::{ClusterState, StateError};
use jiff::Timestamp;
use quorate_crds::{EventSpec, FenceOperation, NodePlan};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One link of the chain of reasons for an object's present state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The reason, as one word.
    #[serde(serialize_with = "as_word")]
    pub reason: Reason,
    /// The reason, for people.
    pub message: String,
}

/// Top-level fields of a status and their new values; null takes one away. It may only be written
/// over the very revision of the object that was planned on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusPatch {
    /// The kind.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The fields.
    pub status: Value,
}

/// An object, by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectKey {
    /// The kind.
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Decisions {
    /// Records of plans, new or changed, heads last. Their status is the host's to write.
    pub records: Vec<NodePlan>,
    /// Names of records that are no longer needed.
    pub obsolete: Vec<String>,
    /// Hosts to make safe.
    pub fence: Vec<FenceOperation>,
    /// Objects that the planner makes itself: the volumes of guests' own disks, and the migrations
    /// that empty a host or bring a guest back. One that exists already is left as it is.
    pub create: Vec<Value>,
    /// Objects that are over: their finalizers are done with, or their time to be kept has passed.
    pub delete: Vec<ObjectKey>,
    /// What is to be said in statuses.
    pub statuses: Vec<StatusPatch>,
    /// What happened.
    pub events: Vec<EventSpec>,
    /// Per `kind/name`, why it is as it is now, the nearest reason first. Not stored, and empty unless
    /// they were asked for.
    #[serde(skip)]
    pub reasons: BTreeMap<String, Vec<Why>>,
    /// When time alone may change something.
    #[serde(skip)]
    pub wake_at: Option<Timestamp>,
}

impl Decisions {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.obsolete.is_empty()
            && self.fence.is_empty()
            && self.create.is_empty()
            && self.delete.is_empty()
            && self.statuses.is_empty()
            && self.events.is_empty()
    }

    /// The objects as they are once these decisions are committed: for trials, and for tests.
    ///
    /// # Errors
    /// Never for decisions that were made on this very state.
    pub fn commit(
        &self,
        objects: &mut Objects,
        state: &mut ClusterState,
    ) -> Result<(), StateError> {
        for name in &self.obsolete {
            objects.remove(&("NodePlan".to_owned(), name.clone()));
            state.remove("NodePlan", name);
        }
        for doomed in &self.delete {
            objects.remove(&(doomed.kind.to_owned(), doomed.name.clone()));
            state.remove(doomed.kind, &doomed.name);
        }
        let mut written: Vec<Value> = Vec::new();
        let unknown = |object: &&Value| {
            !objects.contains_key(&(text(&object["kind"]), text(&object["metadata"]["name"])))
        };
        written.extend(self.create.iter().filter(unknown).cloned());
        written.extend(self.records.iter().map(|record| json!(record)));
        written.extend(self.fence.iter().map(|operation| json!(operation)));
        for mut object in written {
            let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
            if let Some(status) = objects.get(&key).and_then(|old| old.get("status")) {
                object["status"] = status.clone();
            }
            state.put(&object)?;
            objects.insert(key, object);
        }
        for patch in &self.statuses {
            let key = (patch.kind.to_owned(), patch.name.clone());
            let Some(object) = objects.get_mut(&key) else {
                continue;
            };
            if object.get("status").is_none_or(Value::is_null) {
                object["status"] = json!({});
            }
            for (field, value) in patch.status.as_object().into_iter().flatten() {
                object["status"][field] = value.clone();
            }
            if let Some(fields) = object["status"].as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            state.put(object)?;
        }
        Ok(())
    }
}

/// Objects by kind and name.
pub type Objects = BTreeMap<(String, String), Value>;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn as_word<S: serde::Serializer>(reason: &Reason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.as_str())
}
