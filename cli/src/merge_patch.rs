//! JSON merge patches (RFC 7386), made and laid over values on this side.

use serde_json::{Map, Value};

/// The merge patch that turns one value into another.
pub(crate) fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in to {
        match from.get(key) {
            Some(before) if before == value => {}
            Some(before @ Value::Object(_)) if value.is_object() => {
                patch.insert(key.clone(), difference(before, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// Lay a merge patch over a value.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_change_of_one_person_is_laid_over_the_change_of_another() {
        let base = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "resourceVersion": "7"}, "spec": {"memory": "2Gi", "cpus": 2}});
        let edited = json!({"metadata": {"labels": {"a": "1"}, "resourceVersion": "7"}, "spec": {"memory": "4Gi", "cpus": 2}});
        let mut live = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "resourceVersion": "9"}, "spec": {"memory": "2Gi", "cpus": 8}});

        merge(&mut live, &difference(&base, &edited));

        assert_eq!(
            live,
            json!({"metadata": {"labels": {"a": "1"}, "resourceVersion": "9"}, "spec": {"memory": "4Gi", "cpus": 8}})
        );
    }
}
