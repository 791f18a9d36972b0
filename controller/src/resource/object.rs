//! Objects as JSON: reading their metadata, and giving stored bytes their resourceVersion.
//!
//! An object is stored without `metadata.resourceVersion`: the revision at which the store last
//! changed it *is* the resourceVersion, and is written into the bytes when they leave. Keys are stored
//! sorted, so everything before the members of `metadata` is a short prefix; the version is put in there
//! and nothing is parsed.

use bytes::{BufMut, Bytes, BytesMut};
use quorate_store::Revision;
use serde_json::{Map, Value};

/// The finalizer that makes a deletion wait for dependants.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that makes a deletion leave its dependants behind.
pub(crate) const ORPHAN: &str = "orphan";

const METADATA: &[u8] = b"\"metadata\":{";

/// The text at `metadata.<field>`, if there is one.
pub(crate) fn meta_str<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

/// The object's name; empty when it has none.
pub(crate) fn name(object: &Value) -> &str {
    meta_str(object, "name").unwrap_or_default()
}

/// The metadata of `object`, made when absent. `None` only when `object` is no JSON object.
pub(crate) fn meta_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
}

/// Sets `metadata.<field>`, or removes it.
pub(crate) fn set_meta(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(metadata) = meta_mut(object) else {
        return;
    };
    match value {
        Some(value) => {
            metadata.insert(field.to_owned(), value);
        }
        None => {
            metadata.remove(field);
        }
    }
}

/// Removes what says nothing from `metadata`: an empty map of labels is none. Kubernetes keeps no such fields either, and
/// tools that compare would see a difference for ever.
pub(crate) fn drop_empty_meta(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match metadata.get(field) {
            Some(Value::Null) => true,
            Some(Value::Object(entries)) => entries.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        if empty {
            metadata.remove(field);
        }
    }
}

/// The finalizers of `object`.
pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get("finalizers"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Adds a finalizer unless it is there.
pub(crate) fn add_finalizer(object: &mut Value, finalizer: &str) {
    if finalizers(object).any(|present| present == finalizer) {
        return;
    }
    if let Some(list) = meta_mut(object).and_then(|metadata| {
        metadata
            .entry("finalizers")
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()
    }) {
        list.push(finalizer.into());
    }
}

/// Removes a finalizer if it is there.
pub(crate) fn remove_finalizer(object: &mut Value, finalizer: &str) {
    let left: Vec<Value> = finalizers(object)
        .filter(|present| *present != finalizer)
        .map(Value::from)
        .collect();
    let left = (!left.is_empty()).then_some(Value::Array(left));
    set_meta(object, "finalizers", left);
}

/// Whether somebody has asked for the object's deletion.
pub(crate) fn is_deleting(object: &Value) -> bool {
    meta_str(object, "deletionTimestamp").is_some()
}

/// `object` as it is sent: with its resourceVersion.
pub(crate) fn to_bytes(object: &Value, revision: Option<Revision>) -> Bytes {
    let stored = encode(object);
    match revision {
        Some(revision) => with_version(&stored, revision),
        None => stored,
    }
}

/// `object` as it is stored.
pub(crate) fn encode(object: &Value) -> Bytes {
    Bytes::from(object.to_string())
}

/// Stored bytes with `metadata.resourceVersion` put in.
pub(crate) fn with_version(stored: &Bytes, revision: Revision) -> Bytes {
    let Some(at) = metadata_start(stored) else {
        return stored.clone();
    };
    let mut out = BytesMut::with_capacity(stored.len() + 48);
    out.extend_from_slice(&stored[..at]);
    out.extend_from_slice(b"\"resourceVersion\":\"");
    let mut digits = [0u8; 20];
    out.extend_from_slice(decimal(revision, &mut digits));
    out.put_u8(b'"');
    if stored[at] != b'}' {
        out.put_u8(b',');
    }
    out.extend_from_slice(&stored[at..]);
    out.freeze()
}

/// Where the members of `metadata` begin. Before them stand only `apiVersion` and `kind`, whose values
/// hold no quotes or braces, so the first occurrence is the right one.
fn metadata_start(stored: &[u8]) -> Option<usize> {
    const WITHIN: usize = 512;
    let head = &stored[..stored.len().min(WITHIN)];
    let at = head
        .windows(METADATA.len())
        .position(|window| window == METADATA)?
        + METADATA.len();
    (at < stored.len()).then_some(at)
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder of a division by ten is one digit.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn versioned(object: &Value, revision: Revision) -> Value {
        serde_json::from_slice(&with_version(&encode(object), revision)).expect("still JSON")
    }

    #[test]
    fn stored_bytes_get_their_resource_version_without_being_parsed() {
        let object = json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "Secret",
            "metadata": {"name": "a", "labels": {"metadata": "{"}},
            "spec": {"metadata": {"name": "b"}},
        });
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = json!("18446744073709551615");
        assert_eq!(versioned(&object, u64::MAX), expected);
        assert_eq!(
            versioned(&object, 0)["metadata"]["resourceVersion"],
            json!("0")
        );
    }

    #[test]
    fn even_empty_metadata_takes_a_version() {
        let object = json!({"apiVersion": "v", "kind": "k", "metadata": {}});
        assert_eq!(
            versioned(&object, 7)["metadata"],
            json!({"resourceVersion": "7"})
        );
    }

    #[test]
    fn what_says_nothing_is_not_kept() {
        let mut object = json!({"metadata": {
            "name": "a", "labels": {}, "annotations": null, "finalizers": [], "ownerReferences": [],
        }});
        drop_empty_meta(&mut object);
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
        let mut kept = json!({"metadata": {"labels": {"a": ""}, "finalizers": ["x/y"]}});
        drop_empty_meta(&mut kept);
        assert_eq!(kept["metadata"]["labels"], json!({"a": ""}));
    }

    #[test]
    fn finalizers_are_added_once_and_removed_by_name() {
        let mut object = json!({"metadata": {"name": "a"}});
        add_finalizer(&mut object, ORPHAN);
        add_finalizer(&mut object, ORPHAN);
        add_finalizer(&mut object, "x/y");
        assert_eq!(finalizers(&object).collect::<Vec<_>>(), [ORPHAN, "x/y"]);
        remove_finalizer(&mut object, ORPHAN);
        remove_finalizer(&mut object, "x/y");
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}
