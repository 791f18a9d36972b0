//! What an applied configuration asks for: the paths in it, and whether it can be merged at all.

use crate::field_set::{Element, Entry, FieldSet};
use crate::shape::{self, Shape};
use quorate_schema::{Node, Violation, ViolationReason};
use serde_json::Value;
use std::collections::BTreeSet;

/// The paths that `config` sets. A field that the schema names is there through what is below it; an
/// entry of a map, an item of a list and what is empty are there themselves.
pub(crate) fn paths(node: Option<&Node>, config: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match shape::of(node, config) {
        Shape::Leaf => {}
        Shape::Fields(fields) => {
            for (name, value) in fields {
                let child = shape::child(node, name);
                let children = paths(child, value);
                let member = children.is_empty() || !shape::is_named(node, name);
                set.insert_entry(&Element::field(name), Entry { member, children });
            }
        }
        Shape::Items(items, keys) => {
            for item in items {
                let children = paths(shape::items(node), item);
                set.insert_entry(
                    &keys.element(item),
                    Entry {
                        member: true,
                        children,
                    },
                );
            }
        }
    }
    set
}

/// Removes the nulls that mean "not given": all but those of nullable scalars.
pub(crate) fn drop_nulls(node: Option<&Node>, config: &mut Value) {
    match config {
        Value::Object(fields) => fields.retain(|name, value| {
            let child = shape::child(node, name);
            drop_nulls(child, value);
            !value.is_null()
                || child.is_some_and(|child| {
                    child.nullable
                        && child.properties.is_empty()
                        && child.additional_properties.is_none()
                        && child.items.is_none()
                })
        }),
        Value::Array(items) => {
            for item in items {
                drop_nulls(shape::items(node), item);
            }
        }
        _ => {}
    }
}

/// Items that cannot be told apart: those without a key, and those that are there twice.
pub(crate) fn check(node: Option<&Node>, config: &Value, path: &str, out: &mut Vec<Violation>) {
    match shape::of(node, config) {
        Shape::Leaf => {}
        Shape::Fields(fields) => {
            for (name, value) in fields {
                let path = match (path.is_empty(), shape::is_named(node, name)) {
                    (true, _) => name.clone(),
                    (false, true) => format!("{path}.{name}"),
                    (false, false) => format!("{path}[{name}]"),
                };
                check(shape::child(node, name), value, &path, out);
            }
        }
        Shape::Items(items, keys) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if let Some(key) = keys.missing(item) {
                    out.push(Violation::new(
                        format!("{path}.{key}"),
                        ViolationReason::Required,
                        "found none, allowed: a value, for it tells this item from the others",
                    ));
                } else if !seen.insert(keys.element(item)) {
                    out.push(Violation::new(
                        &path,
                        ViolationReason::Duplicate,
                        "found an item with the same key once more, allowed: each only once",
                    ));
                }
                check(shape::items(node), item, &path, out);
            }
        }
    }
}
