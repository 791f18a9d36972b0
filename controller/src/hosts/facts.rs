//! The part of a Node's status that its host writes.

use quorate_crds::{Condition, NodeStatus};
use serde_json::{Map, Value, json};

use super::DeskError;

/// The fields that are the host's.
const FIELDS: [&str; 7] = [
    "capacity",
    "allocatable",
    "nics",
    "watchdog",
    "clock",
    "versions",
    "hypervisors",
];
/// Conditions that are the leader's to say.
const OF_THE_LEADER: [&str; 7] = [
    "Ready",
    "Drained",
    "RingDegraded",
    "FencingReady",
    "DaemonWorks",
    "HeardByLeader",
    "ClockInSync",
];

/// How a host is, as it says itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    fields: Map<String, Value>,
    conditions: Vec<Condition>,
}

impl Facts {
    /// Reads what a host sent; nothing is nothing.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, DeskError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let status: NodeStatus = serde_json::from_slice(bytes).map_err(|error| {
            DeskError::refused(format!(
                "the host's facts are not a Node's status: {error}; its software is of another version than the cluster's"
            ))
        })?;
        let conditions = status
            .conditions
            .iter()
            .filter(|condition| !OF_THE_LEADER.contains(&condition.type_.as_str()))
            .cloned()
            .collect();
        let Value::Object(mut fields) = json!(status) else {
            return Ok(None);
        };
        fields.retain(|field, _| FIELDS.contains(&field.as_str()));
        Ok(Some(Self { fields, conditions }))
    }

    /// Puts them into a Node, in place of what the host said before. `report` is the number of the report that brought them.
    pub(super) fn put_into(&self, node: &mut Value, report: u64) {
        if !node["status"].is_object() {
            node["status"] = json!({});
        }
        let Some(status) = node["status"].as_object_mut() else {
            return;
        };
        status.insert("report".to_owned(), json!(report));
        for field in FIELDS {
            match self.fields.get(field) {
                Some(value) => status.insert(field.to_owned(), value.clone()),
                None => status.remove(field),
            };
        }
        let mut conditions: Vec<Value> = status
            .get("conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|condition| {
                condition["type"]
                    .as_str()
                    .is_some_and(|type_| OF_THE_LEADER.contains(&type_))
            })
            .cloned()
            .collect();
        conditions.extend(self.conditions.iter().map(|condition| json!(condition)));
        if conditions.is_empty() {
            status.remove("conditions");
        } else {
            status.insert("conditions".to_owned(), Value::Array(conditions));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_how_it_is_and_not_what_it_is() {
        let sent = json!({
            "state": "Online", "incarnation": 99, "fenceLevels": [{"name": "ipmi", "ready": true}],
            "capacity": {"cpus": 8},
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "A", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "StorageReady", "status": "False", "reason": "NoDriver", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ],
        });
        let facts = Facts::read(sent.to_string().as_bytes())
            .expect("a status")
            .expect("facts");
        let mut node = json!({"status": {
            "state": "Suspect", "incarnation": 3, "versions": {"kernel": "old"},
            "conditions": [{"type": "Ready", "status": "False"}, {"type": "Drained", "status": "True"}, {"type": "StorageReady", "status": "True"}],
        }});
        facts.put_into(&mut node, 7);
        let status = &node["status"];
        assert_eq!(status["state"], "Suspect");
        assert_eq!(status["incarnation"], 3);
        assert_eq!(status["fenceLevels"], Value::Null);
        assert_eq!(status["report"], 7);
        assert_eq!(status["capacity"]["cpus"], 8);
        assert_eq!(
            status["versions"],
            Value::Null,
            "what it no longer says is gone"
        );
        assert_eq!(status["conditions"][0]["status"], "False");
        assert_eq!(status["conditions"][1]["type"], "Drained");
        assert_eq!(status["conditions"][2]["reason"], "NoDriver");
    }
}
