//! What a Rust type cannot say about a field: how its list is merged and which rules bind it.
//!
//! Used as `#[schemars(transform = keyed(&["name"]))]` and the like, on the field it concerns.

use schemars::Schema;
use serde_json::{Value, json};

/// A list of scalars, each at most once; every item has owners of its own.
pub(crate) fn set(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), json!("set"));
}

/// A list that is one value with one owner: its order matters, or its items have no identity.
pub(crate) fn atomic(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), json!("atomic"));
}

/// A list of objects that are told apart by `keys`; every item has owners of its own.
pub(crate) fn keyed(keys: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    }
}

/// CEL rules, each with the message that tells a person what is allowed.
pub(crate) fn rules(rules: &'static [(&'static str, &'static str)]) -> impl FnMut(&mut Schema) {
    move |schema| {
        let rules: Vec<Value> = rules
            .iter()
            .map(|(rule, message)| json!({ "rule": rule, "message": message }))
            .collect();
        schema.insert("x-kubernetes-validations".to_owned(), Value::Array(rules));
    }
}
