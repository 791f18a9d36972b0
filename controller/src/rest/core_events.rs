//! Our events where kubectl looks for them: among the core's, in the namespace in which Kubernetes keeps events about
//! what belongs to no namespace.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{EVENTS_NAMESPACE, table::since};
use crate::{
    error::ApiError,
    resource::{self, Engine},
};

/// The events of one namespace, or of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoreEvents {
    /// Whether that namespace has any.
    pub(super) shown: bool,
}

impl CoreEvents {
    /// One of our events as a core event.
    pub(super) fn event(&self, engine: &Engine, object: &[u8]) -> Result<Value, ApiError> {
        let own: Value = serde_json::from_slice(object)
            .map_err(|error| ApiError::Internal(format!("an event is not readable: {error}")))?;
        let spec = &own["spec"];
        let mut event = core_event(&own);
        if spec["regarding"].get("uid").is_none()
            && let Some(uid) = uid_of(engine, &spec["regarding"])
        {
            event["involvedObject"]["uid"] = uid;
        }
        Ok(event)
    }
}

/// Tools look for an object's events by its uid. Where an event does not say it, it is that of the object which now has
/// the name.
fn uid_of(engine: &Engine, regarding: &Value) -> Option<Value> {
    let kind = quorate_crds::find(regarding["kind"].as_str()?)?;
    let name = regarding["name"].as_str()?;
    let stored = engine.store().view().get(&Engine::key(kind, name))?;
    let object = resource::parse(kind, name, &stored.value).ok()?;
    object.pointer("/metadata/uid").cloned()
}

fn core_event(own: &Value) -> Value {
    let spec = &own["spec"];
    let reference = |object: &Value| {
        let mut reference = json!({
            "apiVersion": quorate_crds::API_VERSION,
            "kind": object["kind"],
            "name": object["name"],
        });
        if let Some(uid) = object.get("uid") {
            reference["uid"] = uid.clone();
        }
        reference
    };
    let mut metadata = own["metadata"].clone();
    metadata["namespace"] = json!(EVENTS_NAMESPACE);
    if let Some(fields) = metadata.as_object_mut() {
        // They speak of the fields of another form.
        fields.remove("managedFields");
    }
    let mut event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata,
        "involvedObject": reference(&spec["regarding"]),
        "reason": spec["reason"],
        "message": spec["note"],
        "type": spec["type"],
        "count": spec["count"],
        "firstTimestamp": spec["firstTimestamp"],
        "lastTimestamp": spec["lastTimestamp"],
        "eventTime": null,
        "source": {"component": spec["reportingController"]},
        "reportingComponent": spec["reportingController"],
        "reportingInstance": spec.get("reportingNode").cloned().unwrap_or_else(|| json!("")),
    });
    if let Some(node) = spec.get("reportingNode") {
        event["source"]["host"] = node.clone();
    }
    if let Some(related) = spec.get("related") {
        event["related"] = reference(related);
    }
    event
}

/// The columns of kubectl's table of events.
pub(super) fn columns() -> Vec<Value> {
    [
        ("Last Seen", "string", 0, "How long ago it last happened."),
        ("Type", "string", 0, "Whether it needs attention."),
        ("Reason", "string", 0, "What happened, as one word."),
        ("Object", "string", 0, "What it happened to."),
        ("Source", "string", 1, "The program that reports it."),
        ("Message", "string", 0, "What happened, for people."),
        ("First Seen", "string", 1, "How long ago it first happened."),
        ("Count", "integer", 1, "How often it happened."),
        ("Name", "string", 1, "The name of the event."),
    ]
    .map(|(name, type_, priority, description)| {
        json!({
            "name": name,
            "type": type_,
            "format": if name == "Name" { "name" } else { "" },
            "description": description,
            "priority": priority,
        })
    })
    .into()
}

/// The values of one event under [`columns`].
pub(super) fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let text = |path: &str| {
        let value = event.pointer(path).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let ago = |path: &str| json!(since(&text(path), now));
    let object = format!(
        "{}/{}",
        text("/involvedObject/kind").to_lowercase(),
        text("/involvedObject/name")
    );
    vec![
        ago("/lastTimestamp"),
        json!(text("/type")),
        json!(text("/reason")),
        json!(object),
        json!(text("/source/component")),
        json!(text("/message").trim()),
        ago("/firstTimestamp"),
        event["count"].clone(),
        json!(text("/metadata/name")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_the_same_in_the_form_of_the_core() {
        let event = core_event(&json!({
            "metadata": {"name": "web.1", "resourceVersion": "7"},
            "spec": {
                "regarding": {"kind": "VirtualMachine", "name": "web", "uid": "u"},
                "related": {"kind": "Node", "name": "an1"},
                "reason": "Started", "note": "on an1", "type": "Normal", "count": 2,
                "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": "2026-01-01T00:01:00Z",
                "reportingController": "quorated",
            },
        }));
        assert_eq!(event["involvedObject"]["uid"], "u");
        assert_eq!(
            event["involvedObject"]["apiVersion"],
            "quorate.dev/v1alpha1"
        );
        assert_eq!(event["related"]["name"], "an1");
        assert_eq!(event["metadata"]["namespace"], "default");
        assert_eq!(event["metadata"]["resourceVersion"], "7");
        let now = "2026-01-01T00:02:00Z".parse().expect("a time");
        let cells = cells(&event, now);
        assert_eq!(cells.len(), columns().len());
        assert_eq!(cells[0], "60s");
        assert_eq!(cells[3], "virtualmachine/web");
    }
}
