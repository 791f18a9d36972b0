//! What can be owned: not what the server sets, and through a subresource only that.

use crate::field_set::{Element, FieldSet};
use crate::shape;
use quorate_schema::{ListType, MapType, Node};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// Metadata that nobody owns.
const SERVER_METADATA: [&str; 10] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

/// The paths that nobody owns.
pub(crate) fn unowned() -> &'static FieldSet {
    static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
        let metadata: Map<String, Value> = SERVER_METADATA
            .iter()
            .map(|name| (format!("f:{name}"), Value::Object(Map::new())))
            .chain([(".".to_owned(), Value::Object(Map::new()))])
            .collect();
        let mut set = FieldSet::from_value(&serde_json::json!({ "f:metadata": metadata }))
            .expect("the paths are fixed and read in every test");
        set.insert(Element::field("apiVersion"));
        set.insert(Element::field("kind"));
        set
    });
    &UNOWNED
}

/// The part of an applied configuration that counts: without what the server sets, and of the whole
/// only what is written through `subresource`.
pub(crate) fn applicable(config: &Value, subresource: Option<&str>) -> Value {
    let Value::Object(fields) = config else {
        return config.clone();
    };
    let mut part = Map::new();
    for (name, value) in fields {
        let counts = match (name.as_str(), subresource) {
            ("apiVersion" | "kind", _) => true,
            ("metadata", None) => {
                let mut metadata = value.clone();
                if let Value::Object(metadata) = &mut metadata {
                    metadata.retain(|name, _| !SERVER_METADATA.contains(&name.as_str()));
                }
                part.insert(name.clone(), metadata);
                false
            }
            (name, None) => name != "status",
            (name, Some(subresource)) => name == subresource,
        };
        if counts {
            part.insert(name.clone(), value.clone());
        }
    }
    Value::Object(part)
}

/// Undoes in `new` what cannot be changed through `subresource`: through none the status, through
/// one everything else.
pub(crate) fn restrict(live: Option<&Value>, new: Value, subresource: Option<&str>) -> Value {
    let (mut base, mut source, name) = match (subresource, live) {
        (None, live) => (new, live.cloned().unwrap_or(Value::Null), "status"),
        (Some(name), Some(live)) => (live.clone(), new, name),
        (Some(_), None) => return new,
    };
    let value = source
        .as_object_mut()
        .and_then(|source| source.remove(name));
    if let Value::Object(base) = &mut base {
        match value {
            Some(value) => base.insert(name.to_owned(), value),
            None => base.remove(name),
        };
    }
    base
}

/// Adapts a set to a schema in which something has become one value: who owned a part of it owns it
/// whole. Tells whether anything changed.
pub(crate) fn reconcile(node: Option<&Node>, set: &mut FieldSet) -> bool {
    let Some(node) = node else {
        return false;
    };
    let mut changed = false;
    for (element, entry) in set.entries_mut() {
        let child = match element.strip_prefix("f:") {
            Some(name) => shape::child(Some(node), name),
            None => shape::items(Some(node)),
        };
        let Some(child) = child else {
            continue;
        };
        if is_one_value(child) {
            if !entry.children.is_empty() {
                entry.member = true;
                entry.children = FieldSet::default();
                changed = true;
            }
        } else {
            changed |= reconcile(Some(child), &mut entry.children);
        }
    }
    changed
}

fn is_one_value(node: &Node) -> bool {
    if node.items.is_some() {
        return node.list_type == ListType::Atomic;
    }
    node.map_type == MapType::Atomic
}
