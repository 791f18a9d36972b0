//! Conditions of objects as JSON.

use quorate_crds::Time;
use quorate_planner::Reason;
use serde_json::{Value, json};

/// Says `reason` in the condition `type_` of an object; its time moves only when its status does.
pub(crate) fn set(
    object: &mut Value,
    type_: &str,
    so: bool,
    reason: Reason,
    message: &str,
    now: &Time,
) {
    let status = if so { "True" } else { "False" };
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = object["status"]["conditions"].as_array_mut() else {
        return;
    };
    let old = conditions
        .iter_mut()
        .find(|condition| condition["type"] == type_);
    let since = match &old {
        Some(old) if old["status"] == status => old["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    let new = json!({
        "type": type_,
        "status": status,
        "reason": reason.as_str(),
        "message": message,
        "lastTransitionTime": since,
    });
    match old {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Takes a condition away: nothing is to be said about that aspect.
pub(crate) fn clear(object: &mut Value, type_: &str) {
    let Some(conditions) = object
        .pointer_mut("/status/conditions")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    conditions.retain(|condition| condition["type"] != type_);
}
