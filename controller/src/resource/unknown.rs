//! Fields that the schema does not know.
//!
//! In what a caller sends they are errors: a misspelt field must not be lost silently. What is stored
//! already and sent back unchanged is kept: it was written by a newer version, and an older one in a
//! half-upgraded cluster must not destroy it.

use quorate_crds::KindInfo;
use serde_json::Value;

use super::subject;
use crate::error::{ApiError, Cause};

/// Refuses unknown fields in `sent`, except those that `live` holds with the same value.
pub(super) fn refuse(
    kind: &KindInfo,
    name: &str,
    sent: &Value,
    live: Option<&Value>,
) -> Result<(), ApiError> {
    let causes: Vec<Cause> = kind
        .schema
        .unknown_fields(sent)
        .into_iter()
        .filter(|violation| {
            let kept = live.and_then(|live| at(live, &violation.path));
            kept.is_none() || kept != at(sent, &violation.path)
        })
        .map(Cause::from)
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid {
        subject: subject(kind, name),
        causes,
    })
}

/// The value at a field path such as `spec.disks[1].size` or `metadata.labels[app]`.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']')?;
            value = match value {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                other => other.get(key)?,
            };
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = value.get(&rest[..end])?;
            rest = &rest[end..];
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::at;

    #[test]
    fn paths_lead_through_fields_list_items_and_map_keys() {
        let object = json!({"spec": {"disks": [{"size": 1}, {"size": 2}], "map": {"a.b": 3}}});
        assert_eq!(at(&object, "spec.disks[1].size"), Some(&json!(2)));
        assert_eq!(at(&object, "spec.map[a.b]"), Some(&json!(3)));
        assert_eq!(at(&object, "spec.disks[7].size"), None);
        assert_eq!(at(&object, "spec.disks[x]"), None);
    }
}
