//! Reading the common parts of an object that arrived as JSON.

use serde_json::Value;

/// What stands for a secret value that both sides share.
pub(crate) const MASKED: &str = "***";
/// What stands for a secret value that will go.
pub(crate) const MASKED_BEFORE: &str = "*** (before)";
/// What stands for a secret value that will come.
pub(crate) const MASKED_AFTER: &str = "*** (after)";

/// The string at a JSON pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(crate) fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn is_secret(object: &Value) -> bool {
    kind(object) == "Secret"
}

/// `virtualmachine/web`: how an object is called in messages and in `-o name`.
pub(crate) fn reference(object: &Value) -> String {
    format!("{}/{}", kind(object).to_lowercase(), name(object))
}

/// Remove the record of field owners, which is for machines.
pub(crate) fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Labels or annotations as `key=value` pairs in key order.
pub(crate) fn pairs(object: &Value, pointer: &str) -> Vec<String> {
    let Some(map) = object.pointer(pointer).and_then(Value::as_object) else {
        return Vec::new();
    };
    map.iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect()
}
